"""Classes of pairs, of which teacher and student read different parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, load_tables
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.classification import choose_column, class_names_of, classes, labels_of, three_parts
from tutelage.tasks.problem import Problem

__all__ = ["PROJECTIONS", "classification", "projections_of"]

PROJECTIONS = "projections"
"""What the sums of an image's columns and rows are called, as an input."""

_LABEL = ("label", "labels", "target", "class", "y")

Parts = dict[str, Tensor]


def classification(
    *,
    data: str,
    reads: Mapping[str, Sequence[str]],
    config: str | None = None,
    label: str | None = None,
    projections: str | None = None,
    validation: float | int = 0.15,
    test: float | int = 0.25,
    standardise: bool = True,
    watch: Sequence[int] = (),
    seed: int = 0,
) -> Problem:
    """Pairs with one class each, of which each network reads its own part.

    The parts of a pair are columns of one table, such as what two sensors saw of the same thing. The inputs
    of a batch are a mapping from their names; a network that reads one is called with its tensor, one that
    reads several with all of them by name. A student is trained, measured, costed and exported with its own
    part alone, and so is its control.

    Args:
        data: `sklearn.digits`, a local folder or file (Parquet, CSV, JSON), or a name on the hub.
        reads: `teacher`, `student`, or the name of another network -> the columns that it reads, each of
            numbers or of lists of numbers. A network that is not named reads all that others do.
        config: the configuration of a hub set.
        label: the column of classes; found by its usual names.
        projections: a column of images whose sums over columns and rows are a further part, `projections`:
            what a sensor sees that looks along the lines of a picture.
        validation, test: the share or number of rows to draw where the set has no such split.
        standardise: scale each number to mean 0 and deviation 1, by the training rows.
        watch: classes whose recall is reported by itself.
        seed: of the splits.

    Raises:
        RecipeError: nobody reads anything.
        DataError, UnknownName: a column that is not there, or is not made of finite numbers.

    Source: Gupta, Hoffman & Malik, Cross Modal Distillation for Supervision Transfer, 2016, for networks of
        two modalities on paired data of which few have labels.
    """
    tables = load_tables(data, config=config)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    label = choose_column(table, label, "label", _LABEL)
    class_names = class_names_of(table, label)
    names = _names(reads, table, projections)

    def read(part: Any, where: str) -> Source:
        inputs = {name: _part(part, name, projections) for name in names}
        return Examples(inputs, labels_of(part, label), num_classes=len(class_names), where=where)

    parts = three_parts(tables, read, validation=validation, test=test, seed=seed)
    return classes(
        *(_standardised(*parts) if standardise else parts),
        class_names=class_names,
        watch=watch,
        network_options={"num_classes": len(class_names)},
        reads={who: tuple(columns) for who, columns in reads.items()},
    )


def projections_of(images: Tensor) -> Tensor:
    """The sums of an image over its rows and over its columns.

    Args:
        images: shape [N, height, width].

    Returns:
        first the sum of each column, then that of each row, shape [N, width + height].

    Example:
        >>> projections_of(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        tensor([[4., 6., 3., 7.]])
    """
    return torch.cat([images.sum(1), images.sum(2)], 1)


def _names(reads: Mapping[str, Sequence[str]], table: Any, projections: str | None) -> list[str]:
    """The inputs that anybody reads, in the order in which they are first named."""
    for who, columns in reads.items():
        if isinstance(columns, str) or not columns:
            raise RecipeError(f"task.reads.{who} came as {columns!r}; expected a list of at least one column")
    names = list(dict.fromkeys(name for columns in reads.values() for name in columns))
    legal = [*table.column_names, *([PROJECTIONS] if projections else [])]
    for name in [*names, *([projections] if projections else [])]:
        if name not in legal:
            raise UnknownName("column", name, legal, hint="It is what a network of task.reads reads.")
    if not names:
        raise RecipeError("task.reads names nobody; expected {teacher: [<column>], student: [<column>]}")
    return names


def _part(table: Any, name: str, projections: str | None) -> Tensor:
    if name == PROJECTIONS and projections:
        images = _numbers(table, projections)
        if images.ndim != 3:
            raise DataError(
                f"projections are made of images [height, width], and the column {projections!r} has values "
                f"of shape {list(images.shape[1:])}; name another one"
            )
        return projections_of(images)
    return _numbers(table, name)


def _numbers(table: Any, column: str) -> Tensor:
    """A column as [N, …] in float32."""
    try:
        held = torch.from_numpy(np.asarray(table[column][:], dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the column {column!r} is not made of numbers ({error}); name another one"
        ) from error
    missing = int((~held.isfinite()).sum())
    if missing:
        raise DataError(f"the column {column!r} has {missing} missing or infinite values; fill them in")
    return held if held.ndim > 1 else held.unsqueeze(-1)


def _standardised(*parts: Source) -> tuple[Source, Source, Source]:
    """Each part scaled by what the first one holds."""
    rows = [part.batch(range(len(part))) for part in parts]
    scales = {name: _scale(held) for name, held in rows[0].inputs.items()}

    def scaled(inputs: Parts) -> Parts:
        return {name: (held - scales[name][0]) / scales[name][1] for name, held in inputs.items()}

    train, validation, test = (Examples(scaled(row.inputs), row.labels) for row in rows)
    return train, validation, test


def _scale(held: Tensor) -> tuple[Tensor, Tensor]:
    deviation = held.std(0)
    return held.mean(0), torch.where(deviation > 0, deviation, torch.ones_like(deviation))
