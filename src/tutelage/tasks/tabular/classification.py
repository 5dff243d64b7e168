"""Classes of rows of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, load_tables
from tutelage.errors import DataError
from tutelage.tasks.classification import choose_column, class_names_of, classes, labels_of, three_parts
from tutelage.tasks.problem import Problem

__all__ = ["classification"]

_LABEL = ("label", "labels", "target", "class", "y")


def classification(
    *,
    data: str,
    config: str | None = None,
    features: Sequence[str] | None = None,
    label: str | None = None,
    validation: float | int = 0.15,
    test: float | int = 0.25,
    standardise: bool = True,
    watch: Sequence[int] = (),
    lessons: Sequence[Sequence[int]] = (),
    lesson_given: bool = False,
    seed: int = 0,
) -> Problem:
    """Rows of numbers, each with one class.

    Args:
        data: `sklearn.breast_cancer`, a local folder or file (Parquet, CSV, JSON), or a name on the hub.
        config: the configuration of a hub set.
        features: the columns of numbers or lists of numbers; by default all but the label and images.
        label: the column of classes; found by its usual names.
        validation, test: the share or number of rows to draw where the set has no such split.
        standardise: scale each feature to mean 0 and deviation 1, by the training rows.
        watch: classes whose recall is reported by itself.
        lessons: parts of the classes that stages learn one after another, [[0, 1], [2, 3]]; each is measured
            after every stage.
        lesson_given: compare the classes of an example's own lesson alone, as if its head were chosen for it
            (task-incremental); else all classes compete (class-incremental).
        seed: of the splits.
    """
    tables = load_tables(data, config=config)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    label = choose_column(table, label, "label", _LABEL)
    names = class_names_of(table, label)
    columns = list(features) if features else [c for c in table.column_names if c not in (label, "image")]
    if not columns:
        raise DataError(f"{data} has no column beside the label {label!r}; name some with task.features")

    def read(part: Any, where: str) -> Source:
        return Examples(_numbers(part, columns), labels_of(part, label), num_classes=len(names), where=where)

    train, held, last = three_parts(tables, read, validation=validation, test=test, seed=seed)
    width = int(train.batch([0]).inputs.shape[1])
    scale = _scale(train) if standardise else (torch.zeros(width), torch.ones(width))
    if standardise:
        train, held, last = (_standardised(part, *scale) for part in (train, held, last))
    options = {"num_classes": len(names), "in_features": width}
    return classes(
        train,
        held,
        last,
        class_names=names,
        watch=watch,
        lessons=lessons,
        lesson_given=lesson_given,
        network_options=options,
        preparation={
            "kind": "rows",
            "features": _features(table, columns),
            "mean": scale[0].tolist(),
            "scale": scale[1].tolist(),
        },
    )


def _features(table: Any, columns: Sequence[str]) -> list[str]:
    """A name for each number of a row: the column's, and its place where a column holds lists."""
    found = []
    for column in columns:
        count = np.asarray(table[column][:1]).size
        found += [column] if count == 1 else [f"{column}[{place}]" for place in range(count)]
    return found


def _numbers(table: Any, columns: Sequence[str]) -> Tensor:
    parts = []
    for column in columns:
        choose_column(table, column, "features", ())
        try:
            held = np.asarray(table[column][:], dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the column {column!r} is not made of numbers ({error}); leave it out"
            ) from error
        missing = int((~np.isfinite(held)).sum())
        if missing:
            raise DataError(
                f"the column {column!r} has {missing} missing or infinite values; fill them in, or leave it "
                "out"
            )
        parts.append(held.reshape(len(held), -1))
    return torch.from_numpy(np.concatenate(parts, axis=1))


def _scale(source: Source) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each feature; 1 for one that is the same everywhere."""
    rows = source.batch(range(len(source))).inputs
    mean, deviation = rows.mean(0), rows.std(0)
    return mean, torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def _standardised(source: Source, mean: Tensor, scale: Tensor) -> Source:
    rows = source.batch(range(len(source)))
    return Examples((rows.inputs - mean) / scale, rows.labels)
