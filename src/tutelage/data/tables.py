"""Tables by name: scikit-learn's, a local folder or file, or the hub's, all as `datasets` tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tutelage.errors import DataError, UnknownName

__all__ = ["load_tables", "values_of"]

_AT_A_TIME = 256  # rows

_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}

_ADDRESS = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")
_SAVED = ("dataset_dict.json", "state.json")  # what `save_to_disk` writes


def load_tables(name: str, *, config: str | None = None) -> dict[str, Any]:
    """Every split of a data set, by its name.

    Args:
        name: `sklearn.<set>` for one that comes with scikit-learn (`sklearn.digits`); the path of a local
            folder, also one that `save_to_disk` wrote, or of a Parquet, CSV or JSON file; else a name on the
            hub.
        config: the configuration, for hub sets with several.

    Returns:
        split -> `datasets.Dataset`.

    Raises:
        UnknownName: scikit-learn has no such set.
        DataError: the path or name cannot be read, or holds no rows.
    """
    if name.startswith("sklearn."):
        found = {"train": _from_sklearn(name.removeprefix("sklearn."))}
    else:
        found = _from_datasets(name, config)
    for split, table in found.items():
        if len(table) == 0:
            raise DataError(f"the split {split!r} of {name!r} is empty; at least one row is needed")
    return found


def values_of(
    table: Any, column: str, rows: Iterable[Any] | None = None, *, where: str = "the data"
) -> Iterator[Any]:
    """The values of a column, one after the other, decoded as the table decodes them.

    Args:
        table: one of `load_tables`.
        column: its name.
        rows: their numbers; all by default.
        where: what to call the table in messages.

    Raises:
        DataError: one cannot be read, such as an image that is cut short; its row and its file are named.
    """
    held = table.select_columns([column])
    wanted = list(map(int, range(len(table)) if rows is None else rows))
    for start in range(0, len(wanted), _AT_A_TIME):
        part = wanted[start : start + _AT_A_TIME]
        try:
            found = held[part][column]
        except Exception:  # one of them; each by itself says which
            found = (_value(held, column, row, where) for row in part)
        yield from found


def _value(table: Any, column: str, row: int, where: str) -> Any:
    try:
        return table[row][column]
    except Exception as error:
        raise DataError(
            f"{where}: the {column} in row {row}{_file_of(table, column, row)} cannot be read "
            f"({_ADDRESS.sub('from its bytes', str(error))}); mend it, or take the row out"
        ) from error


def _file_of(table: Any, column: str, row: int) -> str:
    """The file that a value is of, where the table says it."""
    try:
        plain = table.cast_column(column, type(table.features[column])(decode=False))
        path = plain[row][column]["path"]
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return f", {path}," if path else ""


def _from_datasets(name: str, config: str | None) -> dict[str, Any]:
    import datasets  # when it is needed: it takes longer than all other imports together

    path = Path(name).expanduser()
    if not path.exists() and (name.startswith(("/", ".", "~")) or path.suffix in _SUFFIXES):
        raise DataError(f"there is nothing at {path}; expected a folder, or a Parquet, CSV or JSON file")
    try:
        if path.suffix in _SUFFIXES and path.is_file():
            return dict(datasets.load_dataset(_SUFFIXES[path.suffix], data_files={"train": str(path)}))
        if any((path / mark).is_file() for mark in _SAVED):
            held = datasets.load_from_disk(str(path))
            return dict(held) if isinstance(held, datasets.DatasetDict) else {"train": held}
        return dict(datasets.load_dataset(str(path) if path.exists() else name, config))
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot load the data set {name!r}: {first}. Expected sklearn.<set>, a local folder or file "
            "(Parquet, CSV, JSON), or a name on the hub; for a copy on disk use --set task.data=<folder>"
        ) from error


def _from_sklearn(name: str) -> Any:
    import datasets
    import sklearn.datasets

    loaders = {
        key.removeprefix("load_"): loader
        for key, loader in vars(sklearn.datasets).items()
        if key.startswith("load_") and "return_X_y" in inspect.signature(loader).parameters
    }
    if name not in loaders:
        raise UnknownName("data set of scikit-learn", name, loaders)
    bunch = loaders[name]()
    images = getattr(bunch, "images", None)
    columns: dict[str, Any] = {"features": bunch.data.astype("float32").tolist()}
    if images is not None:
        columns["image"] = images.astype("float32").tolist()
    columns["label"] = bunch.target.tolist()
    names = [str(value) for value in getattr(bunch, "target_names", [])]
    table = datasets.Dataset.from_dict(columns)
    if names and bunch.target.ndim == 1 and len(set(columns["label"])) == len(names):
        table = table.cast_column("label", datasets.ClassLabel(names=names))
    return table
