"""What makes data doubtful: a test set that was trained on, labels that belong to other inputs."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from tutelage.data import Examples, Source, Subset, keys_of
from tutelage.errors import TutelageWarning
from tutelage.runs.measuring import Measured, measure_teacher
from tutelage.tasks.problem import Problem
from tutelage.teachers import Stored, Teacher
from tutelage.types import UNLABELLED

__all__ = ["doubt_of_labels", "warn_of_overlap"]

_LOOKED_AT, _AT_A_TIME = 1000, 1024
_MOST = 200_000  # training examples that are read for it
_HALF = 0.5  # below it, rows of few distinct values are alike by themselves


def warn_of_overlap(problem: Problem) -> None:
    """Say that examples of the test split are in the training data, to the byte; of data in memory alone.

    Args:
        problem: whose.
    """
    test, train = problem.test, problem.train
    if test is None or not (_in_memory(test) and _in_memory(train)) or len(train) > _MOST:
        return
    step = max(1, len(test) // _LOOKED_AT)
    looked = [*range(0, len(test), step)][:_LOOKED_AT]
    there = set().union(
        *(
            _known(train, range(at, min(at + _AT_A_TIME, len(train))))
            for at in range(0, len(train), _AT_A_TIME)
        )
    )
    shared = sum(one in there for number in looked for one in _known(test, [number]))
    if shared > _HALF * len(looked):
        warnings.warn(
            f"{shared:,} of {len(looked):,} test examples that were looked at are in the training data, to "
            "the byte: what is measured on them is memory; keep test and train apart",
            TutelageWarning,
            stacklevel=2,
        )


def doubt_of_labels(problem: Problem, teacher: Teacher, answers: Measured, device: torch.device) -> list[str]:
    """Whether the teacher agrees with the training labels far less than with those that it is measured on.

    Args:
        problem: of classes; of others nothing is said.
        teacher: who is asked about some training examples.
        answers: its answers to the reported split.
        device: where it is asked.
    """
    train, there = problem.train, answers.quality.get("accuracy")
    known = train.labels
    if problem.num_classes is None or there is None or isinstance(teacher, Stored) or known is None:
        return []
    if not isinstance(known, Tensor) or known.ndim != 1 or known.is_floating_point():
        return []
    numbers = (known != UNLABELLED).nonzero().flatten()
    if not len(numbers):
        return []
    part = Subset(train, numbers[:: max(1, len(numbers) // _LOOKED_AT)][:_LOOKED_AT].tolist())
    measured = measure_teacher(teacher, problem, device, split=part)
    here = None if measured is None else measured.quality.get("accuracy")
    if here is None or not here < there / 2:
        return []
    return [
        f"The teacher names the label of {100 * here:.0f} % of the training examples, and of "
        f"{100 * there:.0f} % of those it is measured on: do the training labels belong to their inputs?"
    ]


def _known(source: Source, numbers: range | list[int]) -> set[tuple[int, ...]]:
    return {tuple(key) for key in keys_of(source.batch(list(numbers))).tolist()}


def _in_memory(source: Source) -> bool:
    held: Source | None = source
    while not isinstance(held, Examples):
        held = getattr(held, "source", None)
        if held is None:
            return False
    return True
