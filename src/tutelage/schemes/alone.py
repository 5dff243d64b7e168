"""A student with labels and nobody else."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.scheme import Scheme
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Alone"]


class Alone(Scheme):
    """The student learns from labels: the control of every run, and how teachers are trained.

    Args:
        student: the network that is trained.
        matches: terms that need no teacher.
    """

    def __init__(self, student: nn.Module, matches: Sequence[Match]) -> None:
        super().__init__(student, matches)
        for match in matches:
            if match.needs_teacher:
                raise ModelError(f"{match.name} compares the student with a teacher, and Alone has none")

    def observe(self, batch: Batch) -> tuple[Outputs, None]:
        """What the student says."""
        return self._ask_student(batch), None

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's."""
        return [self._student_turn()]
