"""A student whose logits, or features, a critic cannot tell from its teacher's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tutelage import projectors
from tutelage.capture import check_layers
from tutelage.errors import ModelError
from tutelage.layout import examples, pooled
from tutelage.losses.reduction import blank, masked_mean, widen
from tutelage.match import Match
from tutelage.match.masks import both, part_left
from tutelage.match.values import value_at
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.schemes.declared import Declared, Student, Term, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.offline import Offline
from tutelage.schemes.scheme import Scheme
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs, Turn

__all__ = ["Adversarial"]


class Adversarial(Scheme):
    """Adversarial distillation: a critic learns to tell the teacher's answers from the student's.

    A divergence says beforehand in what two answers may differ; a critic finds out. It moves first on each
    batch, by the binary cross-entropy of "is this the teacher's?". The student then moves by its matches, and
    by what the critic still holds against it (the form that does not saturate: it wants to be taken for the
    teacher). Where the critic's term stands at 0.69, log 2, it only guesses; how often it is right is noted
    as `Accuracy`. The teacher is asked in both turns: one that remembers costs no more than in `Offline`.

    The critic reads logits, or a layer of each: a map is averaged over its positions, and a student's vector
    of another width goes through a linear projector, which the student's turn moves and nobody hands over.

    Args:
        student: the network that is taught.
        critic: reads logits, [items, classes], or features, [items, width of the teacher's layer], and
            answers each with one number, above 0 for the teacher.
        teacher: whom the student follows.
        matches: the student's other terms.
        adversarial_weight: multiplies what the critic holds against the student; 0 or more.
        guided: the student's layer that the critic reads, by its path; None for logits.
        hint: the teacher's; by default the same path.

    Raises:
        ModelError: no teacher, a negative weight, a hint without a guided layer, or a critic that does not
            read and answer as said above.
        UnknownName: a layer that is not there.

    Source:
        Xu, Hsu & Huang, Training Shallow and Thin Networks for Acceleration via Knowledge Distillation with
        Conditional Adversarial Networks, ICLR workshop 2018. Differences: the critic tells sources apart and
        learns no labels; the distance of the logits (there L1) is a match of the recipe, not a part of the
        scheme; what a network answers in the other's turn it answers in eval mode. Features:
        Chung, Park, Kim & Kwak, Feature-map-level Online Adversarial Knowledge Distillation, ICML 2020,
        section 3. Differences: the teacher is fixed and learns nothing from the student; vectors, not maps,
        are told apart.

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
        guided: str | None = None,
        hint: str | None = None,
    ) -> None:
        if teacher is None:
            raise ModelError("Adversarial was given no teacher, from which its critic tells the student")
        _check(adversarial_weight, guided, hint)
        self.taught = Offline(student, teacher, matches)
        self.student, self.critic, self.teacher = student, critic, self.taught.teacher
        self.weight = float(adversarial_weight)
        self.places = {"student": guided, "teacher": guided if hint is None else hint}
        self.projector: nn.Module = nn.Identity()
        self._watch()

    @classmethod
    def declare(
        cls,
        matches: Sequence[Match],
        networks: Sequence[str],  # noqa: ARG003
        adversarial_weight: float = 1.0,
        guided: str | None = None,
        hint: str | None = None,
        **options: Any,  # noqa: ARG003
    ) -> Declared:
        """A student, and a critic that is not handed over; the teacher is asked whatever the matches are."""
        _check(adversarial_weight, guided, hint)
        what = "logits" if guided is None else f"features at {guided}"
        said = f"what a critic of {what} holds against the student"
        against = Term(said, adversarial_weight, needs_teacher=True, layers=guided is not None)
        return Declared(
            (Student("student", "student"),),
            asks="data",
            terms=(*terms_of(matches), against),
            turns=("critic", "student"),
        )

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student and its matches, the critic, and what brings features to the teacher's width."""
        held = {**self.taught.modules, "critic": self.critic}
        return held if self.places["student"] is None else {**held, "projector": self.projector}

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
            parameters=[*student.parameters, *self.projector.parameters()],
            terms=self._student_terms,
            weights=lambda: {**student.weights(), "Adversarial": self.weight},
        )
        return [Turn("critic", moved, self._critic_terms, notes=("Accuracy",)), taught]

    def shown(self, outputs: Outputs, mask: Tensor | None, who: str) -> Tensor:
        """What the critic reads of an answer, [*items, numbers].

        Args:
            outputs: of the student or the teacher.
            mask: the items that count; what stands in the others is not read.
            who: `student` or `teacher`.
        """
        layer = self.places[who]
        if layer is not None:
            feature = value_at(outputs, layer, who, "Adversarial")
            (feature,) = blank(mask, feature)
            vectors = pooled(feature, mask)
            return self.projector(vectors) if who == "student" else vectors
        logits = outputs.logits if outputs.head is None else outputs.head.whole()
        if logits is None:
            raise ModelError(
                f"the {who} answers without the logits of all classes, which the critic reads; ask a teacher "
                "that gives them, or store its answers whole"
            )
        return blank(mask, logits)[0]

    def judged(self, shown: Tensor) -> Tensor:
        """How sure the critic is that what it is shown is the teacher's: a number for each item, [*items]."""
        items = shown.shape[:-1]
        answer: Tensor = self.critic(shown.reshape(items.numel(), -1))
        if answer.shape != (items.numel(), 1):
            raise ModelError(
                f"the critic answers {items.numel()} items with a tensor of shape "
                f"{list(answer.shape)}; expected one number for each item: set num_classes: 1 in its model"
            )
        return widen(answer).view(items)

    def _critic_terms(self, batch: Batch) -> dict[str, Tensor]:
        """Half the loss on the teacher's answers, half on the student's; neither network is moved."""
        with torch.no_grad(), evaluating(self.student):
            own = self.taught.learner.ask(batch)
            teacher = self._asked(batch, own)
            mask = batch.mask if teacher.mask is None else both(batch.mask, teacher.mask)
            seen = [self.shown(one, mask, who) for one, who in ((teacher, "teacher"), (own, "student"))]
        theirs, ours = (self.judged(one) for one in seen)
        counts, left = self._counts(mask), part_left(mask, batch)
        apart = (_taken_for(theirs, 1.0) + _taken_for(ours, 0.0)) / 2
        right = ((theirs > 0).to(theirs) + (ours <= 0).to(ours)) / 2
        return {"Critic": masked_mean(apart, counts) * left, "Accuracy": masked_mean(right, counts) * left}

    def _student_terms(self, batch: Batch) -> dict[str, Tensor]:
        """The matches, and the wish to be taken for the teacher by a critic that stands still."""
        own, teacher = self.taught.observe(batch)
        with returned_as_it_was(self.critic):
            self.critic.eval().requires_grad_(False)
            wish = _taken_for(self.judged(self.shown(own, batch.mask, "student")), 1.0)
        terms = self.taught.learner.terms(own, teacher, batch)
        return {**terms, "Adversarial": self.weight * masked_mean(wish, self._counts(batch.mask))}

    def _counts(self, mask: Tensor | None) -> Tensor | None:
        """The items that the critic is asked about: those of the logits, or whole examples."""
        return mask if self.places["student"] is None else examples(mask)

    def _asked(self, batch: Batch, own: Outputs) -> Outputs:
        assert self.teacher is not None
        answer: Outputs = self.teacher.heed(batch, own) if self.teacher.heeds else self.teacher(batch)
        return answer

    def _fit(self, batch: Batch) -> None:
        self.taught.prepare(batch)
        self._watch()  # pairing stages names the layers anew
        own = self.taught.learner.ask(batch)
        answers = {"student": own, "teacher": self._asked(batch, own)}
        seen = {who: self.shown(outputs, batch.mask, who) for who, outputs in answers.items()}
        if self.places["student"] is not None and isinstance(self.projector, nn.Identity):
            self.projector = projectors.fit(seen["student"], seen["teacher"]) or self.projector
            seen["student"] = self.projector(seen["student"])
        what = "logits" if self.places["student"] is None else "features"
        with evaluating(self.critic):
            for who, shown in seen.items():
                try:
                    self.judged(shown)
                except RuntimeError as error:
                    width = shown.shape[-1]
                    raise ModelError(
                        f"the critic cannot read the {who}'s {what}, of {width} numbers: {error}. Let it "
                        f"read as many: in_features: {width} in its model"
                    ) from error

    def _watch(self) -> None:
        guided, hint = self.places["student"], self.places["teacher"]
        if guided is None or hint is None:
            return
        learner = self.taught.learner
        check_layers(self.student, [guided], who="student")
        learner.layers = sorted({*learner.layers, guided})
        assert self.teacher is not None
        self.teacher.watch([hint])


def _taken_for(score: Tensor, label: float) -> Tensor:
    """Binary cross-entropy of each item, in nats."""
    return binary_cross_entropy_with_logits(score, torch.full_like(score, label), reduction="none")


def _check(weight: Any, guided: Any, hint: Any) -> None:
    if hint is not None and guided is None:
        raise ModelError(f"hint came as {hint!r} and guided as nothing; name the student's layer as well")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ModelError(f"adversarial_weight came as {weight!r}; expected a number of 0 or more")
