"""Whether teacher, student and labels fit one another: said in a user's words before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tutelage.data import Source
from tutelage.errors import ModelError, TutelageWarning
from tutelage.evaluation import PROBABILITIES, are_probabilities
from tutelage.tasks.targets import Targets, labels_of
from tutelage.types import UNLABELLED

__all__ = ["Answers", "check_labels_fit", "check_same_width", "warn_of_answers", "warn_of_labels"]

_NO_AND_YES = ((-1, 1), (0, 100), (0, 255))
_FAR = 10.0  # from 0, of labels that are numbers

_STUDENT = (
    "the student answers with probabilities (from 0 to 1, with sum 1 in each row), where logits are read; "
    "leave the softmax at its end out"
)
_STUDENTS_SIGMOID = (
    "the student answers every label with a number from 0 to 1, as after a sigmoid, where logits are read, "
    "which are above 0 for yes and below for no; leave the sigmoid at its end out"
)
_SIGMOID = (
    "the teacher answers every label with a number from 0 to 1: a probability, as after a sigmoid, where "
    "logits are read, which are above 0 for yes and below for no. Give it without its sigmoid, or as "
    "`lambda inputs: torch.logit(teacher(inputs), eps=1e-6)`"
)


@dataclass(frozen=True)
class Answers:
    """What teacher and student say about a few examples.

    Args:
        teacher, student: logits or numbers [n, …, width]; None where there are none, or nobody looks at them.
        widths: of both; None likewise.
        names: of both, as messages call them.
    """

    teacher: Tensor | None
    student: Tensor | None
    widths: tuple[int | None, int | None]
    names: tuple[str, str]

    @property
    def width(self) -> int:
        """The teacher's where its answers are looked at, else the student's."""
        teacher, student = self.widths
        width = student if teacher is None else teacher
        assert width is not None
        return width

    @property
    def of_positions(self) -> bool:
        """Whether they are about positions of an example."""
        held = self.student if self.teacher is None else self.teacher
        return held is not None and held.ndim == 3

    @property
    def said(self) -> str:
        """The widths, in words; empty where one is not known."""
        teacher, student = self.widths
        if teacher is None or student is None:
            return ""
        return (
            f"{self.names[0]} answers with {_numbers(teacher)}, and {self.names[1]} with {_numbers(student)}"
        )


def check_labels_fit(answers: Answers, splits: Mapping[str, Source]) -> None:
    """Refuse a teacher that tells fewer classes apart than student and labels do.

    Raises:
        ModelError: labels that the student has a class for, and the teacher none.
    """
    teacher, student = answers.widths
    if teacher is None or student is None or teacher < 2:
        return
    for where, source in splits.items():
        highest = _highest_class(labels_of(source))
        if highest is None or highest < teacher or not (highest < student or student == 1):
            continue
        if student == 1:
            raise ModelError(
                f"{answers.said}, and {where} has labels up to {highest}: numbers, as the student's one "
                "output says. The teacher tells classes apart; take one that answers with numbers, such as "
                "a regressor"
            )
        raise ModelError(
            f"{answers.said}, and {where} has the label {highest}: the teacher tells fewer classes apart "
            f"than there are. Give a teacher that was trained on all {student} (a network of Transformers "
            f"is built with num_labels={student}; its usual head has 2)"
        )


def check_same_width(answers: Answers, targets: Targets) -> None:
    """Refuse a student whose answer is not as wide as that of the teacher it is to follow.

    Raises:
        ModelError: they differ.
    """
    teacher, student = answers.widths
    if teacher is None or student is None or teacher == student:
        return
    what = {"several": "label", "values": "number"}.get(targets.kind, "class")
    raise ModelError(
        f"{answers.said}; the width must be the same, one number for each {what}: give it a head of "
        f"{teacher}, or take a teacher of {student}"
        + (", or say by classes=[…] which of the teacher's are the student's" if teacher > student else "")
    )


def warn_of_answers(answers: Answers, targets: Targets | None = None) -> None:
    """Say that a network ends in a softmax or a sigmoid, where logits are read."""
    for said in _doubts(answers, targets):
        warnings.warn(said, TutelageWarning, stacklevel=6)


def _doubts(answers: Answers, targets: Targets | None) -> Iterator[str]:
    several = targets is not None and targets.kind == "several"
    values = targets is not None and targets.kind == "values"
    if answers.teacher is not None and not values:
        if several and _between(answers.teacher):
            yield _SIGMOID
        elif not several and are_probabilities(answers.teacher):
            yield PROBABILITIES
    if answers.student is not None and not several and not values and are_probabilities(answers.student):
        yield _STUDENT
    if several and answers.student is not None and _between(answers.student):
        yield _STUDENTS_SIGMOID


def _between(held: Tensor) -> bool:
    return bool(((held >= 0) & (held <= 1)).all())


def warn_of_labels(targets: Targets, splits: Mapping[str, Source]) -> None:
    """Say how labels were read, where they look as if something else were meant."""
    labels = labels_of(splits["train"])
    if labels is None:
        return
    if targets.kind == "several" and labels.ndim == 2 and labels.shape[1] > 2:
        held = labels.double()
        if bool((held.nansum(1) == 1).all()) and bool(((held == 0) | (held == 1)).all()):
            warnings.warn(
                f"each row of the labels of train has exactly one 1 among {labels.shape[1]}, and is read as "
                "several labels, yes or no each; if it names one class, give labels.argmax(1)",
                TutelageWarning,
                stacklevel=5,
            )
    if targets.kind == "values":
        known = labels[~labels.isnan()] if labels.is_floating_point() else labels
        said = _about_values(known.double()) if len(known) else None
        if said is not None:
            warnings.warn(said, TutelageWarning, stacklevel=5)


def _about_values(known: Tensor) -> str | None:
    low, high = float(known.min()), float(known.max())
    if (low, high) in _NO_AND_YES and bool(((known == low) | (known == high)).all()):
        return (
            f"the labels of train are {low:g} and {high:g} alone, and are learnt as numbers; if they mean no "
            f"and yes, give (labels > {(low + high) / 2:g}) with a network that answers with logits"
        )
    if max(abs(float(known.mean())), float(known.std())) > _FAR:
        return (
            f"the labels of train run from {low:.4g} to {high:.4g} and are learnt as they come: a fresh "
            "network answers near 0, and takes long to get there. Scale them, and the teacher's answers with "
            "them, such as (labels - mean) / spread of the training labels"
        )
    return None


def _highest_class(labels: Tensor | None) -> int | None:
    if labels is None or labels.ndim != 1 or labels.dtype == torch.bool:
        return None
    known = labels[labels != UNLABELLED]
    known = known[known.isfinite()] if known.is_floating_point() else known
    if len(known) == 0 or bool((known != known.round() if known.is_floating_point() else known < 0).any()):
        return None
    return int(known.max())


def _numbers(width: int) -> str:
    return "1 number" if width == 1 else f"{width} numbers"
