"""The student as it was an epoch ago as its teacher."""

from __future__ import annotations

from tutelage.teachers.follower import Follower
from tutelage.types import Moment

__all__ = ["PastSelf"]


class PastSelf(Follower):
    """Past self (PS-KD): the student's weights at the end of the epoch before.

    Its answers soften the labels by what the student has learned so far. In the first epoch it is the
    untrained student, so let the weight of its term grow from nothing:
    `weight: {ramp: {last: 0.8, by_epoch: true}}`, and that of the labels fall from 1 to 0.2.

    Args:
        every: epochs from one copy to the next.

    Shapes:
        batch: as the student takes it.
        returns: the past student's logits, and its layers by path.

    Raises:
        ValueError: fewer than one epoch.
        ModelError: asked without a student.

    Source:
        Kim et al. 2021, "Self-Knowledge Distillation with Progressive Refinement of Targets", section 3.1;
        their last weight is 0.8, and in epoch t of T it is 0.8 · t / T. Differences: the term's own weight
        takes the place of mixed targets, which gives the same gradient with
        `response.SoftTarget(temperature=1.0)`; by the ramp above it is one epoch behind, 0.8 · (t − 1) / T,
        so that the untrained student counts for nothing.

    Example:
        >>> from torch import nn
        >>> student = nn.Linear(1, 1, bias=False)
        >>> teacher = PastSelf().beside(student)
        >>> _ = student.weight.data.fill_(7.0)
        >>> teacher.after(Moment(step=9, total=20, length=10))
        >>> teacher.copied.network.weight.item() == 7.0
        False
        >>> teacher.after(Moment(step=10, total=20, length=10))
        >>> teacher.copied.network.weight.item()
        7.0
    """

    def __init__(self, *, every: int = 1) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every came as {every}; one epoch or more is expected")
        self.every = every

    def after(self, moment: Moment) -> None:
        """Copy the student at the end of an epoch."""
        if moment.step % (moment.length * self.every) == 0:
            self.take_up(1.0)
