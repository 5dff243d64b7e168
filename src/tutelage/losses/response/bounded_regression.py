"""Regression beside a teacher that sets a bound and no target."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, check_same_shape, masked_mean, widen

__all__ = ["BoundedRegression"]


class BoundedRegression(Loss):
    """Teacher-bounded regression: squared error on the labels, until the student is better than the teacher.

    A teacher's real-valued answer may point away from the truth, and nothing in it says so. It is therefore a
    bound: an item whose error is below the teacher's by a margin counts no more, and the student's capacity
    goes where it is still behind.

    Args:
        margin: m, in squared units of the target: how much better than the teacher the student must be.

    Shapes: student, teacher and labels [items, values] or [items, length, values], labels floating, mask
    [items] or [items, length] -> a scalar, the mean over unmasked items of the sum of squared errors, in
    squared units of the target, or 0 for an item within the bound: any is where the teacher's answer is
    infinite. Range 0 to infinity.

    Raises:
        ValueError: the margin is negative, shapes differ, or the mask does not fit.

    Source: Chen et al., Learning Efficient Object Detection Models with Knowledge Distillation, 2017,
    equation 4. Difference: their smooth L1 term on the labels is a match of its own.

    Example:
        >>> student, teacher = torch.tensor([[3.0], [1.0]]), torch.tensor([[2.0], [2.0]])
        >>> labels = torch.zeros(2, 1)
        >>> BoundedRegression()(student, teacher, labels).item()  # (9 + 0) / 2: the second beats the teacher
        4.5
    """

    place = "logits"
    targets = "values"
    least_at_teacher = False

    def __init__(self, *, margin: float = 0.0) -> None:
        super().__init__()
        if not margin >= 0:
            raise ValueError(f"margin came as {margin}; 0 or more is expected")
        self.margin = margin

    def forward(
        self,
        student: Float[Tensor, "*items values"],
        teacher: Float[Tensor, "*items values"],
        labels: Float[Tensor, "*items values"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student with the labels where the teacher is still better."""
        check_logits(student, teacher)
        check_same_shape(student, labels, advice="pass one value for each of the student's")
        check_mask(mask, student.shape[:-1])
        student, teacher, labels = (widen(held) for held in blank(mask, student, teacher.detach(), labels))
        gaps = student - labels
        bound = (teacher - labels).square().sum(-1)
        behind = gaps.detach().square().sum(-1) + self.margin > bound
        return masked_mean(torch.where(behind.unsqueeze(-1), gaps, 0).square().sum(-1), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"margin={self.margin}"
