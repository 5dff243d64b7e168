"""A student that is taught without data: a generator makes what the teacher is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tutelage.capture import call
from tutelage.data import normal
from tutelage.errors import ModelError
from tutelage.losses.divergences import forward_kl
from tutelage.match import Match
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.schemes.declared import Declared, Student, Term, terms_of
from tutelage.schemes.learner import Learner
from tutelage.schemes.scheme import Scheme
from tutelage.schemes.through_the_teacher import answer_with_gradient, let_through, logits_of
from tutelage.stages import stages_of
from tutelage.teachers import Teacher
from tutelage.types import Batch, Moment, Turn

__all__ = ["DataFree"]


class DataFree(Scheme):
    """A generator makes inputs from noise, and the student learns the teacher's answers to them (DAFL, ZSKT).

    Of the data nothing is read but the numbers of the examples, by which the noise is drawn. The generator
    makes what the teacher is sure of, of each class as often, and what student and teacher disagree on.

    Args:
        student: the network that is taught.
        teacher: whom it follows; gradient must pass through it to what it is asked about.
        matches: the student's terms; none may look at labels.
        generator: noise [N, noise] -> inputs of the student and the teacher.
        noise: normal numbers from which an input is made; at least as many as there are classes.
        certain: weight of the generator's cross-entropy between the teacher's answer and the class that the
            noise asks for: the place of the largest of its first numbers, one for each class.
        disagreement: weight of KL(teacher ‖ student), which the generator raises.
        repeat: updates of the student for each of the generator, on inputs made anew.

    Raises:
        ModelError: a match that needs labels, weights that leave the generator nothing to learn, less noise
            than classes, or a teacher through which no gradient passes.

    Source:
        Chen et al. 2019, "Data-Free Learning of Student Networks" (DAFL), section 3.2, and Micaelli and
        Storkey 2019, "Zero-shot Knowledge Transfer via Adversarial Belief Matching" (ZSKT), section 3.
        Differences. From DAFL: the class that the teacher must be sure of is asked for by the noise, where
        the paper takes the teacher's own first choice and adds the entropy of the batch's mean answer: both
        want each class as often, but a mean over a batch is not the same in parts of it; no term for large
        activations; the student's inputs are made anew, not those that the generator has just learnt from.
        From ZSKT: the student's several updates each have inputs of their own, and the student is in eval
        mode while the generator learns, so that its batch norms are its own turn's.

    Example:
        >>> from tutelage.losses import response
        >>> from tutelage.teachers import Frozen
        >>> teacher, terms = Frozen(nn.Linear(4, 3)), [Match(response.SoftTarget())]
        >>> scheme = DataFree(nn.Linear(4, 3), teacher, terms, nn.Linear(8, 4), noise=8)
        >>> _, student = scheme.turns()
        >>> nothing = Batch(inputs=torch.full((5, 4), torch.nan), ids=torch.arange(5))
        >>> made = student.makes(nothing, Moment(step=0, total=10, length=5))
        >>> made.inputs.shape, bool(made.inputs.isfinite().all()), made.labels
        (torch.Size([5, 4]), True, None)
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher,
        matches: Sequence[Match],
        generator: nn.Module,
        *,
        noise: int = 100,
        certain: float = 1.0,
        disagreement: float = 1.0,
        repeat: int = 1,
    ) -> None:
        _check(matches, certain, disagreement)
        self.learner = Learner("student", student, matches)
        self.student, self.teacher, self.generator = student, teacher, generator
        self.noise, self.certain, self.disagreement, self.repeat = noise, certain, disagreement, repeat
        let_through(teacher)
        self._watch()

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """The student, whose teacher is asked about what the generator makes."""
        own = (
            Term(
                "the class that the noise asks for, in the teacher's eyes", options.get("certain", 1.0), True
            ),
            Term("KL(teacher ‖ student), raised", options.get("disagreement", 1.0), True),
        )
        terms = (*terms_of(matches), *own)
        return Declared((Student("student", "student"),), "made", terms, turns=("generator", "student"))

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The student with its matches, and the generator."""
        return {**self.learner.modules, "generator": self.generator}

    @property
    def learners(self) -> Sequence[Learner]:
        """The student."""
        return [self.learner]

    def turns(self) -> Sequence[Turn]:
        """The generator's move, then the student's."""
        weights = {"class": self.certain, "disagreement": -self.disagreement}
        generator = Turn(
            "generator",
            [held for held in self.generator.parameters() if held.requires_grad],
            self._generator_terms,
            makes=lambda batch, moment: self._drawn(batch, moment.move, "generator"),
            weights=lambda: weights,
        )
        student = self.learner.turn(self._student_terms)
        return [generator, replace(student, makes=self._made, repeat=self.repeat)]

    def _drawn(self, batch: Batch, move: int, draw: str) -> Batch:
        """Noise in place of a batch's inputs, by the ids and the turn's own move."""
        noise = normal(batch.ids, self.noise, seed=move, draw=f"noise of the {draw}")
        return Batch(inputs=noise.to(next(self.generator.parameters())), ids=batch.ids)

    def _made(self, batch: Batch, moment: Moment) -> Batch:
        """What the student learns from: the generator's inputs, without a gradient."""
        drawn = self._drawn(batch, moment.move, "student")
        with torch.no_grad(), evaluating(self.generator):
            return replace(drawn, inputs=call(self.generator, drawn.inputs))

    def _generator_terms(self, batch: Batch) -> dict[str, Tensor]:
        """What the generator minimises, on a batch of noise."""
        asked = replace(batch, inputs=call(self.generator, batch.inputs))
        with returned_as_it_was(self.student):
            self.student.eval().requires_grad_(False)
            own = logits_of(self.learner.ask(asked), "student")
        teacher = logits_of(self.teacher(asked), "teacher")
        wanted = batch.inputs[:, : teacher.shape[-1]].argmax(1)
        apart = forward_kl(own.log_softmax(-1), teacher.log_softmax(-1)).mean()
        return {
            "class": self.certain * cross_entropy(teacher, wanted),
            "disagreement": -self.disagreement * apart,
        }

    def _student_terms(self, batch: Batch) -> dict[str, Tensor]:
        """What the student minimises, on a batch that was made."""
        with torch.no_grad():
            teacher = self.teacher(batch)
        return self.learner.terms(self.learner.ask(batch), teacher, batch)

    def _fit(self, batch: Batch) -> None:
        made = self._made(batch, Moment(0, 1, 1))
        teacher = answer_with_gradient(self.teacher, made)
        classes = logits_of(teacher, "teacher").shape[-1]
        if self.noise < classes:
            raise ModelError(
                f"noise came as {self.noise}, and the teacher tells {classes} classes apart, each of which "
                f"has a number of the noise; make it {classes} or more"
            )
        if any(match.stages is not None for match in self.matches):
            self.learner.pair_stages(stages_of(self.student, made.inputs), self.teacher.stages(made))
            self._watch()
            teacher = self.teacher(made)
        self.learner.fit(self.learner.ask(made), teacher, made)

    def _watch(self) -> None:
        if self.learner.hints:
            self.teacher.watch(self.learner.hints)


def _check(matches: Sequence[Match], certain: float, disagreement: float) -> None:
    """Refuse terms that look at labels, and a generator that learns nothing."""
    for match in matches:
        if "labels" in match.loss.needs:
            raise ModelError(
                f"{match.name} looks at labels, and what a generator makes has none; leave it out"
            )
    if min(certain, disagreement) < 0 or certain == disagreement == 0:
        raise ModelError(
            f"certain came as {certain} and disagreement as {disagreement}; expected weights of 0 or more, "
            "and one above 0, so that the generator learns"
        )
