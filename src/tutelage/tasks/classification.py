"""What every field with classes shares: splits of labelled examples, chance, the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.data import Source, Subset, split
from tutelage.errors import DataError, UnknownName
from tutelage.tasks.exam import ClassExam
from tutelage.tasks.problem import Problem

__all__ = ["choose_column", "class_names_of", "classes", "labels_of", "three_parts"]


def three_parts(
    tables: Mapping[str, Any],
    read: Callable[[Any, str], Source],
    *,
    train: float | int | None = None,
    validation: float | int,
    test: float | int,
    seed: int,
) -> tuple[Source, Source, Source]:
    """Train, validation and test from the splits that a data set has.

    A split called validation or test is used as it is; what is missing is drawn from train, by class.

    Args:
        tables: split -> table.
        read: (table, name of the split) -> source.
        train: the share or number of training examples to keep of those that are left; None keeps all.
        validation, test: the share or number of examples to draw where the split is missing.
        seed: of the draw.
    """
    if "train" not in tables:
        raise UnknownName("split", "train", tables, hint="A data set needs a split to train on.")
    rest_of = read(tables["train"], "train")
    parts: dict[str, Source] = {}
    for name, size in (("test", test), ("validation", validation)):
        if name in tables:
            parts[name] = read(tables[name], name)
        else:
            rest, part = split(len(rest_of), size, labels=rest_of.labels, seed=seed, name=name)
            rest_of, parts[name] = Subset(rest_of, rest), Subset(rest_of, part)
    if train is not None:
        _, kept = split(len(rest_of), train, labels=rest_of.labels, seed=seed, name="train")
        rest_of = Subset(rest_of, kept)
    return rest_of, parts["validation"], parts["test"]


def classes(
    train: Source,
    validation: Source,
    test: Source | None,
    *,
    class_names: Sequence[str],
    watch: Sequence[int] = (),
    lessons: Sequence[Sequence[int]] = (),
    lesson_given: bool = False,
    **rest: Any,
) -> Problem:
    """A problem whose answer is a class, measured by accuracy.

    Args:
        class_names: the classes, in order.
        watch: classes whose recall is reported by itself.
        lessons, lesson_given: as for `ClassExam`.
        rest: further fields of `Problem`.
    """
    named = [("watch", kind) for kind in watch]
    named += [("lessons", kind) for lesson in lessons for kind in lesson]
    for where, kind in named:
        if not 0 <= kind < len(class_names):
            raise DataError(f"{where} names the class {kind}, and there are {len(class_names)} classes")
    held = (test or validation).labels
    return Problem(
        train=train,
        validation=validation,
        test=test,
        exam=ClassExam(watch=watch, lessons=lessons, lesson_given=lesson_given),
        num_classes=len(class_names),
        class_names=tuple(class_names),
        chance=None if held is None else _chance(held, lessons if lesson_given else ()),
        **rest,
    )


def choose_column(table: Any, came: str | None, kind: str, usual: Sequence[str]) -> str:
    """The column that was named, or the first of the usual names that is there."""
    if came is not None:
        if came not in table.column_names:
            raise UnknownName("column", came, table.column_names)
        return came
    for name in usual:
        if name in table.column_names:
            return name
    raise DataError(
        f"no {kind} column among {', '.join(table.column_names)}; say which it is with task.{kind}=<column>"
    )


def class_names_of(table: Any, column: str) -> list[str]:
    """The names of a table's classes, or their numbers."""
    names = getattr(table.features[column], "names", None)
    if names:
        return [str(name) for name in names]
    numbers = table[column][:]
    wrong = next((value for value in numbers if not isinstance(value, int)), None)
    if wrong is not None or None in numbers:
        raise DataError(
            f"the label column {column!r} holds {wrong!r}, and whole numbers from 0 were expected; encode it "
            f"first with table.class_encode_column({column!r}), or name another with task.label=<column>"
        )
    return [str(number) for number in range(max(numbers) + 1)]


def labels_of(table: Any, column: str) -> Tensor:
    """A table's labels as class indices."""
    return torch.tensor(table[column][:], dtype=torch.int64)


def _chance(labels: Tensor, lessons: Sequence[Sequence[int]] = ()) -> float:
    """The accuracy of always naming the commonest class, or that of each lesson where it is given."""
    counts = Counter(labels[labels >= 0].tolist())
    given = {kind for lesson in lessons for kind in lesson}
    parts = [*lessons, [kind for kind in counts if kind not in given]]
    return sum(max((counts[kind] for kind in part), default=0) for part in parts) / max(1, len(labels))
