"""A student that sees a changed view of what its teacher sees as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from tutelage.errors import ModelError
from tutelage.match import Match
from tutelage.schemes.offline import Offline
from tutelage.teachers import Teacher
from tutelage.types import Batch, Moment, Outputs, Turn

__all__ = ["NoisyStudent"]

Change = Callable[[Batch, int], Batch]


class NoisyStudent(Offline):
    """Noisy student: the teacher answers the example as it is, the student to a changed view of it.

    A student that sees what its teacher sees can at best repeat it. Shown a harder view, it must answer alike
    under the change, and can come out better than the teacher, also where no example has a label. A term
    with `gate: {confident: {least: 0.9}}` leaves out what the teacher is not sure of, and
    `response.HardTeacher` makes pseudo-labels of the rest; with a `moving_average` for a teacher it is
    consistency training. Dropout is the student's own: a teacher answers without.

    Args:
        student: the network that is taught.
        teacher: whom it follows; None where no term asks one.
        matches: the terms.
        augment: settings -> a change of batches; the task offers it.
        noise: the settings of the change, by the task's names, such as `{jitter: 2}`; drawn by id, anew for
            each update. `train.augment` changes what both see.

    Raises:
        ModelError: no noise.

    Source:
        Xie, Luong, Hovy & Le, Self-training with Noisy Student improves ImageNet classification, CVPR 2020,
        algorithm 1. Its rounds are stages with `teacher: before`. Differences: the changes are those of the
        task, in place of RandAugment, and there is no stochastic depth; labelled and unlabelled examples
        come in the batch as they come in the data; classes are not balanced.

    Example:
        >>> import torch
        >>> from tutelage.losses import response
        >>> from tutelage.teachers import Frozen
        >>> def augment(settings):
        ...     return lambda batch, view: replace(batch, inputs=batch.inputs + settings["far"])
        >>> terms = [Match(response.LogitMatch())]
        >>> same = nn.Linear(1, 1, bias=False)
        >>> scheme = NoisyStudent(same, Frozen(same), terms, augment, noise={"far": 3.0})
        >>> own, teacher = scheme.observe(Batch(torch.zeros(1, 1), torch.arange(1)))
        >>> teacher.logits.item(), bool(own.logits == 3 * same.weight)
        (0.0, True)
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: Teacher | None,
        matches: Sequence[Match],
        augment: Callable[[Mapping[str, object]], Change],
        *,
        noise: Mapping[str, Any],
    ) -> None:
        if not noise:
            raise ModelError(
                "NoisyStudent was given no noise, without which it is Offline; give what changes its view, "
                "such as noise: {jitter: 2}"
            )
        super().__init__(student, teacher, matches)
        self.change = augment(noise)
        self.view = 0

    @classmethod
    def without_teacher(cls, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """The same views, learnt by labels."""
        return dict(settings)

    def observe(self, batch: Batch) -> tuple[Outputs, Outputs | None]:
        """What the student says about a changed view, and the teacher about the batch as it is."""
        seen = replace(self.change(batch, self.view), keys=None)
        if not self.asks or self.teacher is None:
            return self.learner.ask(seen), None
        if self.teacher.heeds:
            student = self.learner.ask(seen)
            return student, self.teacher.heed(batch, student)
        teacher = self.teacher(batch)
        return self.learner.ask(seen), teacher

    def turns(self) -> Sequence[Turn]:
        """One turn, the student's, with a new view for each update."""
        return [replace(turn, before=self._beginning(turn)) for turn in super().turns()]

    def _beginning(self, turn: Turn) -> Callable[[Moment], None]:
        def begin(moment: Moment) -> None:
            self.view = moment.step
            turn.before(moment)

        return begin
