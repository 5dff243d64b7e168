"""Networks with labels and nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.learner import Learner
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
        for match in matches:
            if match.needs_teacher:
                raise ModelError(f"{match.name} compares the student with a teacher, and Alone has none")
        self.learner = Learner("student", student, matches)
        self.student = student

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student and its matches."""
        return self.learner.modules

    @property
    def learners(self) -> Sequence[Learner]:
        """The student."""
        return [self.learner]

    def observe(self, batch: Batch) -> tuple[Outputs, None]:
        """What the student says."""
        return self.learner.ask(batch), None

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's."""
        return [self.learner.turn(self._terms)]

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.learner.terms(*self.observe(batch), batch)

    def _fit(self, batch: Batch) -> None:
        self.learner.fit(*self.observe(batch), batch)
