"""Labels that are numbers."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, check_same_shape, masked_mean, widen

__all__ = ["ValueLabel"]

Norm = Literal["squared", "absolute", "smooth"]


class ValueLabel(Loss):
    """Values as labels (regression): squared, absolute or smooth error, summed over an item's values.

    Args:
        norm: "squared" (mean squared error), "absolute" (mean absolute error), or "smooth" (Huber's, squared
            below 1 and straight beyond).

    Shapes: student and labels [items, values] or [items, length, values], labels floating, NaN for a number
    that is not known, which adds nothing; mask [items] or [items, length] -> a scalar, the mean over unmasked
    items of the sum over values, in the target's unit, squared for "squared". Range 0 to infinity; zero where
    all known values are met.

    Raises:
        ValueError: an unknown norm, shapes differ, or the mask does not fit.

    Source: Huber, Robust estimation of a location parameter, 1964, for "smooth", with its half and threshold
    1. No differences.

    Example:
        >>> student, labels = torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, float("nan")]])
        >>> ValueLabel()(student, labels).item()
        4.0
    """

    place = "logits"
    targets = "values"

    def __init__(self, *, norm: Norm = "squared") -> None:
        super().__init__()
        if norm not in _ERRORS:
            raise ValueError(f"norm came as {norm!r}; expected one of {', '.join(_ERRORS)}")
        self.norm = norm

    def forward(
        self,
        student: Float[Tensor, "*items values"],
        labels: Float[Tensor, "*items values"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's numbers with the labels."""
        check_logits(student)
        check_same_shape(student, labels, advice="pass one value for each of the student's")
        check_mask(mask, student.shape[:-1])
        student, labels = (widen(held) for held in blank(mask, student, labels))
        known = ~labels.isnan()
        gaps = torch.where(known, student, 0) - torch.where(known, labels, 0)
        return masked_mean(_ERRORS[self.norm](gaps).sum(-1), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"norm={self.norm!r}"


_ERRORS = {
    "squared": torch.square,
    "absolute": torch.abs,
    "smooth": lambda gaps: F.huber_loss(gaps, torch.zeros_like(gaps), reduction="none"),
}
