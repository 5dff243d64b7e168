"""A fixed teacher and a learning student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from tutelage.match import Match
from tutelage.schemes.scheme import Scheme
from tutelage.stages import stages_of
from tutelage.teachers import Ahead, Teacher
from tutelage.types import Batch, Moment, Outputs, Turn

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
        self.teacher = teacher.beside(student)
        self.asks = any(match.needs_teacher for match in matches)
        self._watch()

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and stored, by name; a teacher that moves with the student is stored too."""
        held = dict(super().modules)
        return held | {"teacher": self.teacher} if self.teacher.moves else held

    def observe(self, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What student and teacher say about a batch; the teacher is not asked in vain.

        It answers first, so that its memory is free again when the student's graph grows, unless it heeds
        what the student says.
        """
        if not self.asks:
            return self._ask_student(batch), None
        if self.teacher.heeds:
            student = self._ask_student(batch)
            return student, self.teacher.heed(batch, student)
        teacher = self.teacher(batch)
        return self._ask_student(batch), teacher

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's; a teacher that answers ahead begins before it."""
        ahead = self.teacher.begin if self.asks and isinstance(self.teacher, Ahead) else None
        return [replace(self._student_turn(), ahead=ahead)]

    def _after(self, moment: Moment) -> None:
        self.teacher.after(moment)

    def _pair_stages(self, batch: Batch) -> None:
        searching = [match for match in self._matches if match.stages is not None]
        if searching:
            student, teacher = stages_of(self.student, batch.inputs), self.teacher.stages(batch)
            for match in searching:
                match.pair_stages(student, teacher)
            self.layers = sorted({layer for match in self._matches for layer in match.guided})
            self._watch()

    def _watch(self) -> None:
        hints = {hint for match in self._matches if match.needs_teacher for hint in match.hints}
        if hints:
            self.teacher.watch(sorted(hints))
