"""A fixed teacher and a learning student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from tutelage.data import reading
from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.stages import stages_of
from tutelage.teachers import Ahead, Teacher
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Offline"]


class Offline(Scheme):
    """The teacher is ready and stays as it is; the student follows it, and labels where there are any.

    Hinton et al. 2015 with a `response.SoftTarget`, Romero et al. 2015 with a `feature.Hint`. Any teacher
    will do: one network, an ensemble, a forest.

    Args:
        student: the network that is taught.
        teacher: whom it follows; None where no term asks one.
        matches: the terms.
    """

    def __init__(self, student: nn.Module, teacher: Teacher | None, matches: Sequence[Match]) -> None:
        self.learner = Learner("student", student, matches)
        self.student, self.asks = student, self.learner.asks
        if self.asks and teacher is None:
            names = ", ".join(match.name for match in matches if match.needs_teacher)
            raise ModelError(f"{names} compares the student with a teacher, and none was given")
        self.teacher = teacher.beside(student) if teacher is not None else None
        self._watch()

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """What is trained and stored, by name; a teacher that moves with the student is stored too."""
        held = dict(self.learner.modules)
        return held | {"teacher": self.teacher} if self.teacher is not None and self.teacher.moves else held

    @property
    def learners(self) -> Sequence[Learner]:
        """The student."""
        return [self.learner]

    def observe(self, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What student and teacher say about a batch; the teacher is not asked in vain.

        It answers first, so that its memory is free again when the student's graph grows, unless it heeds
        what the student says.
        """
        if not self.asks or self.teacher is None:
            return self.learner.ask(batch), None
        if self.teacher.heeds:
            student = self.learner.ask(batch)
            return student, self.teacher.heed(batch, student)
        teacher = self.teacher(batch)
        return self.learner.ask(batch), teacher

    def terms(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The terms of a batch by name, from what was observed of it."""
        return self.learner.terms(student, teacher, batch)

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's; a teacher that answers ahead begins before it."""
        teacher = self.teacher
        ahead = teacher.begin if self.asks and isinstance(teacher, Ahead) else None
        if teacher is None:
            return [self.learner.turn(self._terms)]
        turn = self.learner.turn(self._terms, before=teacher.before, after=teacher.after)
        return [replace(turn, ahead=ahead)]

    def _terms(self, batch: Batch) -> dict[str, Tensor]:
        return self.terms(*self.observe(batch), batch)

    def _fit(self, batch: Batch) -> None:
        if self.teacher is not None and any(match.stages is not None for match in self.matches):
            seen = reading(batch, self.learner.reads).inputs
            self.learner.pair_stages(stages_of(self.student, seen), self.teacher.stages(batch))
            self._watch()
        self.learner.fit(*self.observe(batch), batch)

    def _watch(self) -> None:
        if self.teacher is not None and self.learner.hints:
            self.teacher.watch(self.learner.hints)
