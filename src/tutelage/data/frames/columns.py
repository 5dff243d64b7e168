"""The columns of a frame: what kind each is of, and the same columns in the next frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tutelage.errors import DataError

__all__ = ["Columns", "Kind", "as_pandas", "is_frame", "kind_of"]

Kind = Literal["number", "word", "date", "empty"]
"""Numbers and truth values; words and categories; days since 1970 (spans of time: days); gaps alone."""

_SAID: Mapping[str, str] = {"number": "numbers", "word": "words", "date": "dates", "empty": "gaps alone"}

_NUMBERS = ("boolean", "integer", "floating", "mixed-integer-float", "decimal", "integer-na")
_DATES = ("date", "datetime", "datetime64", "timedelta", "timedelta64")


def is_frame(came: Any) -> bool:
    """Whether this is a frame of pandas or polars, a lazy one included."""
    home = type(came).__module__.partition(".")[0]
    return home in ("pandas", "polars") and type(came).__name__ in ("DataFrame", "LazyFrame")


def as_pandas(frame: Any) -> Any:
    """A frame, or a column, as one of pandas."""
    return frame.to_pandas() if hasattr(frame, "to_pandas") else frame


@dataclass(frozen=True)
class Columns:
    """The columns that a network was trained on.

    Args:
        kinds: name -> kind, in order.

    Example:
        >>> import pandas
        >>> Columns.of(pandas.DataFrame({"age": [30, None], "town": ["Bonn", None]})).kinds
        {'age': 'number', 'town': 'word'}
    """

    kinds: Mapping[str, Kind]

    @classmethod
    def of(cls, frame: Any, *, where: str = "train") -> Columns:
        """Those of a frame.

        Raises:
            DataError: no rows or columns, names that are no words or come twice, or a column of another kind.
        """
        frame = as_pandas(_usable(frame, where))
        return cls({name: kind_of(frame[name], where) for name in frame.columns})

    def __getitem__(self, kind: Kind) -> list[str]:
        """The names of the columns of a kind."""
        return [name for name, own in self.kinds.items() if own == kind]

    def select(self, frame: Any, *, where: str) -> Any:
        """These columns of another frame, by name and in this order; others of it are left out.

        Raises:
            DataError: a column is missing or of another kind.
        """
        frame = _usable(frame, where)
        missing = [name for name in self.kinds if name not in list(frame.columns)]
        if missing:
            raise DataError(
                f"{where} lacks the column {missing[0]!r}, which the training data has"
                + (f", and {len(missing) - 1} others" if len(missing) > 1 else "")
                + f"; it has {', '.join(map(str, frame.columns))}"
            )
        frame = frame[list(self.kinds)]
        held = as_pandas(frame)
        for name, kind in self.kinds.items():
            came = kind_of(held[name], where)
            if "empty" not in (came, kind) and came != kind:
                raise DataError(
                    f"the column {name!r} of {where} holds {_SAID[came]}, and {_SAID[kind]} in the training "
                    "data; give both the same type"
                )
        return frame

    def plain(self, frame: Any, *, where: str) -> Any:
        """A frame of pandas whose columns are float32, NaN for gaps, or words, "" for gaps.

        Raises:
            DataError: as for `select`, or a number is infinite.
        """
        import pandas

        held = as_pandas(self.select(frame, where=where))
        used = {name: kind for name, kind in self.kinds.items() if kind != "empty"}
        made = {name: _plain(held[name], kind) for name, kind in used.items()}
        for name, values in made.items():
            if values.dtype != object and np.isinf(values).any():
                raise DataError(
                    f"the column {name!r} of {where} holds infinite numbers; give gaps or numbers"
                )
        return pandas.DataFrame(made)


def kind_of(column: Any, where: str) -> Kind:
    """The kind of a column of pandas.

    Raises:
        DataError: it holds lists, bytes, complex numbers, or words among numbers.
    """
    from pandas.api import types

    if not bool(column.notna().any()):
        return "empty"
    dtype = column.dtype
    if types.is_complex_dtype(dtype):
        raise DataError(f"the column {column.name!r} of {where} holds complex numbers; give real ones")
    if types.is_numeric_dtype(dtype):
        return "number"
    if str(dtype) == "category" or (types.is_string_dtype(dtype) and not types.is_object_dtype(dtype)):
        return "word"
    told = types.infer_dtype(column, skipna=True)
    if told in _NUMBERS:
        return "number"
    if told == "string":
        return "word"
    if told in _DATES or types.is_datetime64_any_dtype(dtype):
        return "date"
    example = column[column.notna()].iloc[0]
    raise DataError(
        f"the column {column.name!r} of {where} holds {told} values, such as {str(example)[:60]!r}; "
        "expected numbers, words, categories, truth values or dates. Make it one of them, or leave it out"
    )


def _plain(column: Any, kind: Kind) -> np.ndarray[Any, Any]:
    import pandas

    if kind == "word":
        held = column.astype(object)
        words: np.ndarray[Any, Any] = held.where(column.notna(), "").map(str).to_numpy(dtype=object)
        return words
    if kind == "date":
        held = pandas.Series(column)
        if pandas.api.types.infer_dtype(held, skipna=True).startswith("timedelta"):
            column = pandas.to_timedelta(held) / pandas.Timedelta(days=1)
        else:
            since = pandas.to_datetime(held, utc=True) - pandas.Timestamp(0, tz="utc")
            column = since / pandas.Timedelta(days=1)
    elif column.dtype == object:
        column = column.map(lambda value: np.nan if pandas.isna(value) else float(value))
    numbers: np.ndarray[Any, Any] = column.to_numpy(dtype=np.float32, na_value=np.nan)
    return numbers


def _usable(frame: Any, where: str) -> Any:
    """The frame, once it is known to have rows, and columns that can be told by name."""
    if type(frame).__name__ == "LazyFrame":
        raise DataError(f"{where} is a lazy frame of polars; give {where}.collect()")
    if not is_frame(frame):
        raise DataError(
            f"{where} came as {type(frame).__name__}; expected a frame, as the training data is one"
        )
    names = list(frame.columns)
    wrong = next((name for name in names if not isinstance(name, str)), None)
    if wrong is not None:
        raise DataError(
            f"{where} has the column name {wrong!r}, which is no word; rename the columns, for instance "
            "with frame.columns = frame.columns.map(str), or give an array"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{where} has {names.count(twice[0])} columns called {twice[0]!r}; names must differ")
    if not names:
        raise DataError(f"{where} is a frame without columns to learn from; at least one is needed")
    if len(frame) == 0:
        raise DataError(f"{where} is empty; at least one row is needed")
    return frame
