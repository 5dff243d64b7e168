"""Correlation in place of divergence: the student keeps the teacher's order, not its numbers."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.kernels import about_mean
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import directions
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, spread, widen
from tutelage.losses.softened import check_temperature

__all__ = ["ClassRelation"]


class ClassRelation(Loss):
    """Inter- and intra-class relations (DIST): one minus Pearson's correlation, by item and by class.

    A student far smaller than its teacher cannot reach its probabilities; that it ranks the classes of an
    item, and the items of a class, as the teacher does is asked instead. Items of a batch are compared with
    one another, so a batch is not the sum of its micro-batches.

    Args:
        temperature: T, divides the logits of both before the softmax.
        inter_weight: β, multiplies the part by item (which classes it resembles).
        intra_weight: γ, multiplies the part by class (which items resemble it).

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, T² · (β · inter + γ · intra). inter is the mean over unmasked items, intra
    the mean over classes. Range 0 to 2 · (β + γ) · T²; zero where the probabilities are equal, or linear in
    one another. A constant row or column, one that varies by rounding alone, has no correlation: it counts
    as one, and has no gradient.

    Raises:
        ValueError: the temperature is out of range, a weight is negative, shapes differ, or the mask does not
            fit.

    Source: Huang et al., Knowledge Distillation from A Stronger Teacher, 2022, equations 8 to 10; their β and
    γ are 2 on ImageNet at T = 1, and 2 at T = 4 on CIFAR-100. The factor T² is that of their code.
    Difference: theirs adds 10⁻⁸ to the product of two deviations, which leaves a constant row with noise.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]])
        >>> print(f"{ClassRelation()(teacher, teacher).item():.4f}")
        0.0000
    """

    place = "logits"
    compares_items: ClassVar[bool] = True

    def __init__(
        self, *, temperature: float = 1.0, inter_weight: float = 2.0, intra_weight: float = 2.0
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        for name, weight in (("inter_weight", inter_weight), ("intra_weight", intra_weight)):
            if not weight >= 0:
                raise ValueError(f"{name} came as {weight}; 0 or more is expected")
        self.inter_weight, self.intra_weight = inter_weight, intra_weight

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare how the student's and the teacher's probabilities vary."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        ours, theirs = (
            (widen(logits) / self.temperature).softmax(-1).flatten(0, -2) for logits in (student, teacher)
        )
        counts = None if mask is None else spread(mask, student.shape[:-1]).flatten()
        inter = masked_mean(_distance(ours, theirs), counts)
        intra = _distance(ours.T, theirs.T, counts).mean() if len(ours) else ours.sum()
        return (self.inter_weight * inter + self.intra_weight * intra) * self.temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return (
            f"temperature={self.temperature}, inter_weight={self.inter_weight}, "
            f"intra_weight={self.intra_weight}"
        )


def _distance(
    student: Float[Tensor, "rows values"],
    teacher: Float[Tensor, "rows values"],
    counts: Bool[Tensor, " values"] | None = None,
) -> Float[Tensor, " rows"]:
    """1 − Pearson's correlation of each row; 0 where a row does not vary."""
    ours, theirs = (about_mean(rows, counts) for rows in (student, teacher))
    flat = (ours == 0).all(-1) | (theirs == 0).all(-1)
    correlation = (directions(ours) * directions(theirs)).sum(-1)
    return (1 - correlation).masked_fill(flat, 0)
