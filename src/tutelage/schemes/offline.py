"""A fixed teacher and a learning student."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tutelage.match import Match
from tutelage.schemes.scheme import Scheme
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Offline"]


class Offline(Scheme):
    """The teacher is ready and stays as it is; the student follows it, and labels where there are any.

    Hinton et al. 2015 with a `response.SoftTarget`, Romero et al. 2015 with a `feature.Hint`. Any teacher
    will do: one network, an ensemble, a forest.

    Args:
        student: the network that is taught.
        teacher: whom it follows.
        matches: the terms.
    """

    def __init__(self, student: nn.Module, teacher: Teacher, matches: Sequence[Match]) -> None:
        super().__init__(student, matches)
        self.teacher = teacher
        self.asks = any(match.needs_teacher for match in matches)
        hints = {match.hint for match in matches if match.hint is not None and match.needs_teacher}
        if hints:
            teacher.watch(sorted(hints))

    def observe(self, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What student and teacher say about a batch; the teacher is not asked in vain.

        It answers first, so that its memory is free again when the student's graph grows.
        """
        teacher = self.teacher(batch) if self.asks else None
        return self._ask_student(batch), teacher

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's."""
        return [self._student_turn()]
