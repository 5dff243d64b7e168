"""A student that is taught on inputs where it disagrees with its teacher, searched for from the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data import uniform
from tutelage.errors import ModelError
from tutelage.losses.divergences import forward_kl
from tutelage.match import Match
from tutelage.modes import returned_as_it_was
from tutelage.schemes.declared import Declared, terms_of
from tutelage.schemes.offline import Offline
from tutelage.schemes.through_the_teacher import answer_with_gradient, let_through, logits_of
from tutelage.teachers import Teacher
from tutelage.types import UNLABELLED, Batch, Moment, Turn

__all__ = ["Searched"]


class Searched(Offline):
    """Inputs searched for where teacher and student disagree (near BSS): the student learns there.

    Data say little about where a student will differ from its teacher. Before each update some examples of
    the batch walk a few steps up the divergence KL(teacher ‖ student); nothing else differs from `Offline`.
    What was found has no label, since nobody said what it shows: terms on labels count in the examples that
    stay as they are, the teacher's in all.

    Args:
        student: the network that is taught.
        teacher: whom it follows; gradient must pass through it to what it is asked about.
        matches: the terms, one of which at least needs the teacher.
        share: of the examples that walk, drawn by id for each update, above 0 up to 1.
        steps: of a walk; each costs a forward and a backward pass of both networks on the batch.
        size: how far a step goes: the root of the mean square of what it changes, in units of the inputs
            after scaling; steps · size bounds the way.
        low, high: the least and the greatest number that an input may have; None for no bound.

    Raises:
        ModelError: no teacher or one without a gradient, no match that needs it, inputs that are no tensor of
            floats, or settings out of range.

    Source:
        Heo, Lee, Yun & Choi, Knowledge Distillation with Adversarial Samples Supporting Decision Boundary
        (BSS), AAAI 2019, section 3. Differences: what rises is the divergence of teacher and student, as for
        the generator of Micaelli & Storkey 2019, Zero-shot Knowledge Transfer via Adversarial Belief
        Matching, section 3, and not the teacher's probability of one other class until its decision falls;
        so a walk ends after so many steps, at no boundary, and needs no choice of base examples and classes;
        steps have one length each; what is found takes the place of its example, while there it comes
        beside it with a weight that decays.

    Example:
        >>> from tutelage.losses import response
        >>> from tutelage.teachers import Frozen
        >>> terms = [Match(response.SoftTarget())]
        >>> scheme = Searched(nn.Linear(4, 3), Frozen(nn.Linear(4, 3)), terms, share=1.0, steps=1, size=0.1)
        >>> (turn,) = scheme.turns()
        >>> batch = Batch(torch.zeros(2, 4), torch.arange(2), torch.tensor([0, 2]))
        >>> found = turn.makes(batch, Moment(step=0, total=10, length=5))
        >>> print([f"{row.square().mean().sqrt():.2f}" for row in found.inputs], found.labels.tolist())
        ['0.10', '0.10'] [-100, -100]
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        matches: Sequence[Match],
        *,
        share: float = 0.5,
        steps: int = 3,
        size: float = 0.1,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        _check(matches, share=share, steps=steps, size=size, low=low, high=high)
        super().__init__(student, teacher, matches)
        self.share, self.steps, self.size, self.low, self.high = share, steps, size, low, high
        assert self.teacher is not None
        let_through(self.teacher)

    @classmethod
    def declare(cls, matches: Sequence[Match], networks: Sequence[str], **options: Any) -> Declared:  # noqa: ARG003
        """The teacher is asked about what was found."""
        _check(matches, **options)
        return Declared(asks="made", terms=terms_of(matches))

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's, on what was found."""
        return [replace(turn, makes=self._searched, ahead=None) for turn in super().turns()]

    def _searched(self, batch: Batch, moment: Moment) -> Batch:
        """The batch, with what was found in the place of some examples."""
        _check_inputs(batch)
        chosen = uniform(batch.ids, seed=moment.move, draw="searched") < self.share
        numbers = chosen.nonzero().flatten()
        if not len(numbers):
            return replace(batch, keys=None)
        walked = replace(batch, inputs=batch.inputs[numbers], ids=batch.ids[numbers], labels=None, mask=None)
        inputs = batch.inputs.index_copy(0, numbers, self._walked(walked))
        labels = None if batch.labels is None else torch.where(chosen, UNLABELLED, batch.labels)
        return replace(batch, inputs=inputs, labels=labels, keys=None)

    def _walked(self, batch: Batch) -> Tensor:
        """The inputs, some steps up the divergence; one without a slope stays where it is."""
        found: Tensor = batch.inputs.detach()
        with returned_as_it_was(self.student), torch.enable_grad():
            self.student.eval().requires_grad_(False)
            for _ in range(self.steps):
                asked = replace(batch, inputs=found.requires_grad_())
                (slope,) = torch.autograd.grad(self._apart(asked).sum(), asked.inputs)
                length = slope.flatten(1).square().mean(1).sqrt().clamp(min=torch.finfo(slope.dtype).tiny)
                step = self.size * slope / length.view(-1, *[1] * (slope.ndim - 1))
                found = found.detach() + step
                if self.low is not None or self.high is not None:
                    found = found.clamp(self.low, self.high)
        return found.detach()

    def _apart(self, batch: Batch) -> Tensor:
        """KL(teacher ‖ student) of each item."""
        assert self.teacher is not None
        own = logits_of(self.learner.ask(batch), "student")
        teacher = logits_of(self.teacher(batch), "teacher")
        return forward_kl(own.log_softmax(-1), teacher.log_softmax(-1))

    def _fit(self, batch: Batch) -> None:
        _check_inputs(batch)
        assert self.teacher is not None
        answer_with_gradient(self.teacher, batch)
        super()._fit(replace(batch, keys=None))


def _check(
    matches: Sequence[Match],
    *,
    share: float = 0.5,
    steps: int = 3,
    size: float = 0.1,
    low: float | None = None,
    high: float | None = None,
) -> None:
    if not any(match.needs_teacher for match in matches):
        raise ModelError(
            "Searched was given no match that needs a teacher, and nobody else says what the student should "
            "answer to what was found; add one, such as {loss: response.SoftTarget}"
        )
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise ModelError(f"share came as {share!r}; expected a number above 0 up to 1 (for 0 take Offline)")
    if not isinstance(steps, int) or steps < 1:
        raise ModelError(f"steps came as {steps!r}; expected a whole number of 1 or more")
    if not isinstance(size, int | float) or not 0 < size < float("inf"):
        raise ModelError(f"size came as {size!r}; expected a number above 0")
    if low is not None and high is not None and not low < high:
        raise ModelError(f"low came as {low} and high as {high}; expected the lower one first")


def _check_inputs(batch: Batch) -> None:
    inputs, labels = batch.inputs, batch.labels
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        raise ModelError(
            f"the inputs came as {getattr(inputs, 'dtype', type(inputs).__name__)}, and Searched walks on "
            "numbers; give it data whose inputs are one tensor of floats, such as images or rows"
        )
    if labels is not None and (
        not isinstance(labels, Tensor) or labels.is_floating_point() or labels.ndim > 1
    ):
        raise ModelError(
            "Searched hides the label of what it finds, and these labels are no class for each example; "
            "give data with one class each"
        )
