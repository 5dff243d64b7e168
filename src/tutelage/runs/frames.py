"""Frames in `distill`: their splits, who reads which of their rows, and what is kept beside the student."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data import Source, reading
from tutelage.data.frames import Encoding, Table
from tutelage.errors import ModelError
from tutelage.runs.arguments import read_teacher
from tutelage.teachers import Ensemble, Function, Predictor, Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Frames", "OfRawRows", "with_width"]


@dataclass(frozen=True)
class Frames:
    """Splits of frames, encoded for the student.

    Args:
        train, validation, test: inputs are `rows`, encoded, and `row`, numbers in the table.
        classes: the words that classes 0, 1, … stand for, or None.
        encoding: of the rows, fitted on the training split.
        table: the raw rows.
    """

    train: Source
    validation: Source
    test: Source | None
    classes: list[str] | None
    encoding: Encoding
    table: Table

    @property
    def files(self) -> Mapping[str, Callable[[Path], object]]:
        """What lies beside the student."""
        return self.encoding.files

    def student(self, came: Any) -> Any:
        """The student as a network, or as a function without arguments.

        Args:
            came: what the user gave: a function that cannot be called without arguments is given the number
                of encoded columns.
        """
        return with_width(came, lambda: int(self.train.batch([0]).inputs["rows"].shape[1]))

    def teacher(self, came: Any) -> tuple[Teacher, Mapping[str, Sequence[str]]]:
        """The teacher, and who reads which inputs: networks the encoded rows, everybody else the raw ones."""
        made = self._read(came)
        reads = {"student": ["rows"]}
        if any(isinstance(one, Predictor | OfRawRows) for one in made.modules()):
            return made, reads
        for one in made.modules():
            if isinstance(one, Teacher):
                one.reads = ["rows"]
        return made, reads | {"teacher": ["rows"]}

    def _read(self, came: Any) -> Teacher:
        if isinstance(came, Sequence) and came and not isinstance(came, str | bytes):
            members = [self._read(one) for one in came]
            if any(isinstance(one, Predictor | OfRawRows) for one in members):
                members = [
                    one if isinstance(one, Predictor | OfRawRows) else _Encoded(one) for one in members
                ]
            numbers = any(isinstance(one, Predictor) and one.answers == "numbers" for one in members)
            return Ensemble(members, mean="logits" if numbers else "probabilities")
        if isinstance(came, Predictor):
            twin = copy.copy(came)
            twin.table = self.table
            return twin
        made = read_teacher(came, self.classes)
        if isinstance(made, Predictor):
            made.table = _Asked(self.table, came)
        elif isinstance(made, Function) and not isinstance(came, Teacher):
            return OfRawRows(came, self.table)
        return made


def with_width(came: Any, width: Callable[[], int]) -> Any:
    """A network's function without arguments: one that takes the number of encoded columns is given it.

    Args:
        came: what the user gave; anything else comes back as it is.
        width: that number; asked where it is needed.
    """
    if isinstance(came, nn.Module) or not callable(came) or _takes(came, 0) or not _takes(came, 1):
        return came
    columns = width()
    return lambda: came(columns)


class _Asked:
    """Raw rows with the columns that an estimator was fitted on.

    Args:
        table: the rows.
        estimator: whom they are for.
    """

    def __init__(self, table: Table, estimator: Any) -> None:
        self.table = table
        self.names = _names_of(estimator)
        held = list(table.frame.columns)
        missing = [name for name in self.names or () if name not in held]
        mangled = type(estimator).__module__.startswith("lightgbm")  # it puts _ for what JSON does not like
        if missing and not mangled:
            raise ModelError(
                f"the teacher ({type(estimator).__name__}) was fitted on the column {missing[0]!r}, which "
                f"the frame does not have; it has {', '.join(held)}. Give frames with the columns "
                "of its training"
            )
        if missing:
            self.names = held

    def __call__(self, inputs: Mapping[str, Tensor]) -> Any:
        rows = self.table(inputs)
        return rows.to_numpy() if self.names is None else rows[self.names]


class OfRawRows(Teacher):
    """A function of raw rows."""

    def __init__(self, answer: Callable[[Any], Any], table: Table) -> None:
        super().__init__()
        self.table, self._asked = table, Function(lambda batch: torch.as_tensor(answer(batch)))

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        rows = self.table(reading(batch, self.reads).inputs)
        answered: Outputs = self._asked(Batch(inputs=rows, ids=batch.ids))
        return answered


class _Encoded(Teacher):
    """A network among predictors."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.member = teacher

    def forward(self, batch: Batch) -> Outputs:
        answered: Outputs = self.member(
            Batch(inputs=batch.inputs["rows"], ids=batch.ids, labels=batch.labels)
        )
        return answered


def _names_of(estimator: Any) -> list[str] | None:
    """The columns that an estimator was fitted on; None where it was fitted on arrays."""
    for name in ("feature_names_in_", "feature_names", "feature_name"):
        held = getattr(estimator, name, None)
        held = held() if callable(held) else held
        if held is not None and len(held):
            return [str(one) for one in held]
    return None


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True
