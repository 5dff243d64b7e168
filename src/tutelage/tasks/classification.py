"""What every field with classes shares: splits of labelled examples, chance, the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tutelage.data import Relabelled, Source, Subset, split
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.exam import ClassExam
from tutelage.tasks.problem import Problem

__all__ = ["choose_column", "class_names_of", "classes", "labels_of", "narrowed", "three_parts"]

_MANY, _SPARSE = 1000, 20
"""From which number on a label is doubted, and how many times the count of different ones it is then."""


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


def narrowed(problem: Problem, kept: Sequence[int]) -> Problem:
    """The problem of telling some classes apart, on the examples of these classes alone.

    Args:
        problem: one whose answer is a class.
        kept: the classes, in the order in which they are numbered anew.

    Raises:
        RecipeError: the problem has no classes, or not these.
        DataError: a part has no example of them, or its labels are not known.
    """
    count = problem.num_classes
    if count is None or not isinstance(problem.exam, ClassExam):
        raise RecipeError("a teacher of some classes needs a task whose answer is a class, and this has none")
    if not kept or len(set(kept)) < len(kept) or not all(0 <= kind < count for kind in kept):
        raise RecipeError(f"classes came as {list(kept)}; expected different ones of 0 to {count - 1}")
    place = torch.full((count,), -1)
    place[torch.tensor(kept)] = torch.arange(len(kept))

    def part(source: Source, name: str) -> Source:
        labels = source.labels
        if labels is None:
            raise DataError(f"the labels of the {name} split are not known, so that no class can be picked")
        numbers = [n for n, label in enumerate(labels.tolist()) if label >= 0 and place[label] >= 0]
        found = Subset(source, numbers, where=f"the {name} split of the classes {list(kept)}")
        return Relabelled(found, place[labels[numbers]])

    return replace(
        classes(
            part(problem.train, "train"),
            part(problem.validation, "validation"),
            None if problem.test is None else part(problem.test, "test"),
            class_names=[problem.class_names[kind] for kind in kept],
        ),
        augment=problem.augment,
        network_options={**problem.network_options, "num_classes": len(kept)},
        reads=problem.reads,
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
    return [str(number) for number in range(_num_classes(numbers, column))]


def _num_classes(numbers: Sequence[int], column: str) -> int:
    """How many classes numbers stand for; one that no other comes near is a mistake."""
    highest, known = max(numbers), len(set(numbers))
    if highest >= _MANY and highest >= _SPARSE * known:
        raise DataError(
            f"the label column {column!r} holds {highest} in row {numbers.index(highest)}, and {known:,} "
            "different numbers in all; classes are numbered from 0 without large gaps. If it is no class (an "
            f"id, a code), name another column with task.label=<column>, or encode it with "
            f"table.class_encode_column({column!r})"
        )
    return highest + 1


def labels_of(table: Any, column: str) -> Tensor:
    """A table's labels as class indices."""
    return torch.tensor(table[column][:], dtype=torch.int64)


def _chance(labels: Tensor, lessons: Sequence[Sequence[int]] = ()) -> float:
    """The accuracy of always naming the commonest class, or that of each lesson where it is given."""
    counts = Counter(labels[labels >= 0].tolist())
    given = {kind for lesson in lessons for kind in lesson}
    parts = [*lessons, [kind for kind in counts if kind not in given]]
    return sum(max((counts[kind] for kind in part), default=0) for part in parts) / max(1, len(labels))
