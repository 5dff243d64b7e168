"""What the labels of somebody's data are, told from the labels and the width of the answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from tutelage.data import ChangedLabels, Source
from tutelage.errors import DataError
from tutelage.losses import Loss, response
from tutelage.tasks.exam import ClassExam, Exam, TokenExam
from tutelage.tasks.other_exams import AgreementExam, LabelsExam, SharesExam, ValuesExam
from tutelage.types import UNLABELLED, Batch

__all__ = ["Kind", "Targets", "labels_of", "read_targets"]

Kind = Literal["classes", "shares", "several", "values", "tokens", "none"]
"""One class; a share for each class; yes or no for each label; numbers; the next token; no label at all."""

_LOOKED_AT = 1024  # labels by which the kind is told, where reading all is dear


@dataclass(frozen=True)
class Targets:
    """What the labels are, and what follows from it.

    Args:
        kind: see `Kind`.
        width: of the answers.
    """

    kind: Kind
    width: int

    @property
    def exam(self) -> Exam:
        """How answers are measured."""
        made: Mapping[Kind, Callable[[], Exam]] = {
            "classes": ClassExam,
            "shares": SharesExam,
            "several": partial(LabelsExam, self.width),
            "values": ValuesExam,
            "tokens": TokenExam,
            "none": AgreementExam,
        }
        return made[self.kind]()

    @property
    def losses(self) -> list[Loss]:
        """What a student learns by where nothing was said: its teacher, and labels where there are any."""
        made: Mapping[Kind, Callable[[], list[Loss]]] = {
            "classes": lambda: [response.SoftTarget(temperature=2.0), response.HardLabel()],
            "shares": lambda: [response.SoftTarget(temperature=2.0), response.SoftLabel()],
            "several": lambda: [response.BinarySoftTarget(), response.BinaryLabel()],
            "values": lambda: [response.BoundedRegression(), response.ValueLabel()],
            "tokens": lambda: [response.SoftTarget(temperature=1.0), response.HardLabel()],
            "none": lambda: [response.SoftTarget(temperature=2.0)],
        }
        return made[self.kind]()

    @property
    def num_classes(self) -> int | None:
        """How many classes are told apart; None where answers are no classes."""
        return self.width if self.kind in ("classes", "shares", "tokens", "none") else None

    @property
    def chance(self) -> float | None:
        """What a guess reaches by the exam's metric; None where that is not known."""
        if self.num_classes is None:
            return None
        return math.log(self.width) if self.kind == "tokens" else 1 / self.num_classes

    def reading(self, source: Source) -> Source:
        """The source with its labels in the form that losses and exams take."""
        if self.kind in ("none", "tokens"):
            return source
        if self.kind == "classes":
            held = labels_of(source)
            plain = held is None or (held.dtype == torch.int64 and held.ndim != 2)
            return source if plain else ChangedLabels(source, _as_classes)
        if self.kind == "shares":
            return source
        return ChangedLabels(source, partial(_as_numbers, unknown=self.kind == "several"))


def read_targets(sources: Mapping[str, Source], width: int, *, numbers: bool = False) -> Targets:
    """Tell what the labels of some splits are.

    One class is a whole number for each example (or position); a share for each class is a row of numbers
    from 0 with sum 1; several labels are rows of 0 and 1; with answers of one number, labels of 0 and 1 are
    yes and no, and others are values; other rows of numbers are values.

    Args:
        sources: the splits, by what to call them.
        width: of the student's answers.
        numbers: whether the teacher answers with numbers, so that whole numbers are no classes.

    Raises:
        DataError: labels that fit no answer of that width, or splits with labels of different kinds.
    """
    for where, source in sources.items():
        _check_finite(labels_of(source), where)
    kinds = {
        where: _kind(labels_of(source), width, where, numbers=numbers) for where, source in sources.items()
    }
    found = {kind for kind in kinds.values() if kind != "none"}
    if not found:
        return Targets("none", width)
    if found == {"classes", "shares"}:
        return Targets("shares", width)
    if len(found) > 1:
        told = "; ".join(f"{where}: {_SAID[kind]}" for where, kind in kinds.items())
        raise DataError(f"the splits have labels of different kinds ({told}); give all of one kind")
    return Targets(found.pop(), width)


_SAID: Mapping[Kind, str] = {
    "classes": "one class for each example",
    "shares": "a share for each class",
    "several": "yes or no for each label",
    "values": "numbers",
    "tokens": "the next token of a text",
    "none": "none",
}


def labels_of(source: Source) -> Tensor | None:
    """All labels where they are known, else those of some examples spread over the source.

    Args:
        source: whose.
    """
    if source.labels is not None:
        return source.labels
    step = max(1, len(source) // _LOOKED_AT)
    numbers = list(range(0, len(source), step))[:_LOOKED_AT]
    labels = source.batch(numbers).labels
    return labels if isinstance(labels, Tensor) else None


def _kind(labels: Tensor | None, width: int, where: str, *, numbers: bool = False) -> Kind:
    if labels is None:
        return "none"
    known = labels[~labels.isnan()] if labels.is_floating_point() else labels[labels != UNLABELLED]
    binary = bool(((known == 0) | (known == 1)).all())
    if width == 1:
        _check_shape(labels, ((len(labels),), (len(labels), 1)), width, where)
        return "several" if binary else "values"
    if numbers and not binary:
        _check_shape(labels, ((len(labels), width),), width, where)
        return "values"
    if labels.ndim == 1 or not labels.is_floating_point():
        if labels.ndim == 2 and labels.shape[1] == width and binary and labels.shape[1] > 1:
            return "several"
        _check_whole(known, width, where)
        return "classes"
    _check_shape(labels, ((len(labels), width),), width, where)
    sums = labels.nansum(-1)
    shares = bool((known >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all())
    if shares:
        return "shares"
    return "several" if bool(((known >= 0) & (known <= 1)).all()) else "values"


def _check_finite(labels: Tensor | None, where: str) -> None:
    if labels is None or not labels.is_floating_point() or not bool(labels.isinf().any()):
        return
    rows = labels.isinf().reshape(len(labels), -1).any(1)
    raise DataError(
        f"{where} has labels that are infinite, in {int(rows.sum()):,} of {len(rows):,} examples (the first "
        f"is number {int(rows.nonzero()[0])}); mend them, or give NaN where a number is not known"
    )


def _check_shape(labels: Tensor, legal: tuple[tuple[int, ...], ...], width: int, where: str) -> None:
    if tuple(labels.shape) not in legal:
        raise DataError(
            f"{where} has labels {list(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}, and the "
            f"network answers with {width} numbers for each example; expected one class [N] as whole "
            f"numbers, or a row of numbers [N, {width}]. Reshape the labels, or change the network's width"
        )


def _check_whole(known: Tensor, width: int, where: str) -> None:
    if known.is_floating_point() and not bool((known == known.round()).all()):
        raise DataError(
            f"{where} has one number for each example, such as {float(known[known != known.round()][0]):g}, "
            f"and the network answers with {width}. To learn numbers give it one output; to tell classes "
            "apart give whole numbers from 0"
        )


def _as_classes(batch: Batch) -> Tensor | None:
    """Class indices of any type, [N] or [N, 1]."""
    labels: Tensor | None = batch.labels
    if labels is None:
        return None
    if labels.is_floating_point():
        labels = torch.where(labels.isnan(), UNLABELLED, labels)
    return (labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels).long()


def _as_numbers(batch: Batch, *, unknown: bool) -> Tensor | None:
    """Numbers [N, k]; NaN where a label of yes or no is not known."""
    labels: Tensor | None = batch.labels
    if labels is None:
        return None
    numbers = labels.float()
    if unknown:
        numbers = torch.where(labels == UNLABELLED, torch.nan, numbers)
    return numbers.reshape(len(numbers), -1)
