"""A student whose logits a critic cannot tell from its teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tutelage.errors import ModelError
from tutelage.losses.reduction import blank, masked_mean, widen
from tutelage.match import Match
from tutelage.match.masks import both, part_left
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.schemes.declared import Declared, Student, Term, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.offline import Offline
from tutelage.schemes.scheme import Scheme
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Adversarial"]


class Adversarial(Scheme):
    """Adversarial distillation: a critic learns to tell the teacher's logits from the student's.

    A divergence says beforehand in what two answers may differ; a critic finds out. It moves first on each
    batch, by the binary cross-entropy of "is this the teacher's?". The student then moves by its matches, and
    by what the critic still holds against its logits (the form that does not saturate: it wants to be taken
    for the teacher). Where the critic's term stands at 0.69, log 2, it only guesses. The teacher is asked in
    both turns: one that remembers costs no more than in `Offline`.

    Args:
        student: the network that is taught.
        critic: reads logits, [items, classes], and answers each with one number, above 0 for the teacher.
        teacher: whom the student follows.
        matches: the student's other terms.
        adversarial_weight: multiplies what the critic holds against the student; 0 or more.

    Raises:
        ModelError: no teacher, a negative weight, or a critic that does not read and answer as said above.

    Source:
        Xu, Hsu & Huang, Training Shallow and Thin Networks for Acceleration via Knowledge Distillation with
        Conditional Adversarial Networks, ICLR workshop 2018. Differences: the critic tells sources apart and
        learns no labels; the distance of the logits (there L1) is a match of the recipe, not a part of the
        scheme; what a network answers in the other's turn it answers in eval mode.

    Example:
        >>> from tutelage.losses import response
        >>> from tutelage.teachers import Frozen
        >>> teacher, terms = Frozen(nn.Linear(4, 3)), [Match(response.HardLabel())]
        >>> scheme = Adversarial(nn.Linear(4, 3), nn.Linear(3, 1), teacher, terms)
        >>> [turn.name for turn in scheme.turns()]
        ['critic', 'student']
    """

    def __init__(
        self,
        student: nn.Module,
        critic: nn.Module,
        teacher: Teacher | None,
        matches: Sequence[Match],
        *,
        adversarial_weight: float = 1.0,
    ) -> None:
        if teacher is None:
            raise ModelError("Adversarial was given no teacher, from which its critic tells the student")
        _check_weight(adversarial_weight)
        self.taught = Offline(student, teacher, matches)
        self.student, self.critic, self.teacher = student, critic, self.taught.teacher
        self.weight = float(adversarial_weight)

    @classmethod
    def declare(
        cls,
        matches: Sequence[Match],
        networks: Sequence[str],  # noqa: ARG003
        adversarial_weight: float = 1.0,
        **options: Any,  # noqa: ARG003
    ) -> Declared:
        """A student, and a critic that is not handed over; the teacher is asked whatever the matches are."""
        _check_weight(adversarial_weight)
        against = Term(
            "what a critic of logits holds against the student", adversarial_weight, needs_teacher=True
        )
        return Declared(
            (Student("student", "student"),),
            asks="data",
            terms=(*terms_of(matches), against),
            turns=("critic", "student"),
        )

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student and its matches, and the critic."""
        return {**self.taught.modules, "critic": self.critic}

    @property
    def learners(self) -> Sequence[Learner]:
        """The student: the critic has no matches."""
        return self.taught.learners

    def turns(self) -> Sequence[Turn]:
        """The critic's, then the student's."""
        (student,) = self.taught.turns()
        moved = [held for held in self.critic.parameters() if held.requires_grad]
        taught = replace(
            student,
            terms=self._student_terms,
            weights=lambda: {**student.weights(), "Adversarial": self.weight},
        )
        return [Turn("critic", moved, self._critic_terms), taught]

    def judged(self, outputs: Outputs, mask: Tensor | None, who: str) -> Tensor:
        """How sure the critic is that logits are the teacher's: a number for each item, [*items].

        Args:
            outputs: of the student or the teacher.
            mask: the items that count; what stands in the others is not read.
            who: what to call them in messages.
        """
        logits = outputs.logits if outputs.head is None else outputs.head.whole()
        if logits is None:
            raise ModelError(
                f"the {who} answers without the logits of all classes, which the critic reads; ask a teacher "
                "that gives them, or store its answers whole"
            )
        (logits,) = blank(mask, logits)
        items = logits.shape[:-1]
        answer: Tensor = self.critic(logits.reshape(items.numel(), -1))
        if answer.shape != (items.numel(), 1):
            raise ModelError(
                f"the critic answers logits of {items.numel()} items with a tensor of shape "
                f"{list(answer.shape)}; expected one number for each item: set num_classes: 1 in its model"
            )
        return widen(answer).view(items)

    def _critic_terms(self, batch: Batch) -> dict[str, Tensor]:
        """Half the loss on the teacher's answers, half on the student's; neither network is moved."""
        with torch.no_grad(), evaluating(self.student):
            own = self.taught.learner.ask(batch)
            teacher = self._asked(batch, own)
        mask = batch.mask if teacher.mask is None else both(batch.mask, teacher.mask)
        theirs = _taken_for(self.judged(teacher, mask, "teacher"), 1.0)
        ours = _taken_for(self.judged(own, mask, "student"), 0.0)
        return {"Critic": masked_mean((theirs + ours) / 2, mask) * part_left(mask, batch)}

    def _student_terms(self, batch: Batch) -> dict[str, Tensor]:
        """The matches, and the wish to be taken for the teacher by a critic that stands still."""
        own, teacher = self.taught.observe(batch)
        with returned_as_it_was(self.critic):
            self.critic.eval().requires_grad_(False)
            wish = _taken_for(self.judged(own, batch.mask, "student"), 1.0)
        terms = self.taught.learner.terms(own, teacher, batch)
        return {**terms, "Adversarial": self.weight * masked_mean(wish, batch.mask)}

    def _asked(self, batch: Batch, own: Outputs) -> Outputs:
        assert self.teacher is not None
        answer: Outputs = self.teacher.heed(batch, own) if self.teacher.heeds else self.teacher(batch)
        return answer

    def _fit(self, batch: Batch) -> None:
        self.taught.prepare(batch)
        own = self.taught.learner.ask(batch)
        with evaluating(self.critic):
            for who, outputs in {"student": own, "teacher": self._asked(batch, own)}.items():
                try:
                    self.judged(outputs, batch.mask, who)
                except RuntimeError as error:
                    raise ModelError(
                        f"the critic cannot read the {who}'s logits, of {_width(outputs)} classes: {error}. "
                        f"Let it read as many numbers: in_features: {_width(outputs)} in its model"
                    ) from error


def _width(outputs: Outputs) -> int:
    held = outputs.logits if outputs.head is None else outputs.head
    return 0 if held is None else held.shape[-1]


def _taken_for(score: Tensor, label: float) -> Tensor:
    """Binary cross-entropy of each item, in nats."""
    return binary_cross_entropy_with_logits(score, torch.full_like(score, label), reduction="none")


def _check_weight(weight: Any) -> None:
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ModelError(f"adversarial_weight came as {weight!r}; expected a number of 0 or more")
