"""Three views of the same answers: items, the batch, the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import product
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, spread, widen
from tutelage.losses.softened import check_temperature, soften

__all__ = ["MultiLevel"]


class MultiLevel(Loss):
    """Multi-level logit distillation (MLKD): KLs at several temperatures, and Gram matrices of answers.

    Beside each item's probabilities, the student matches how alike the teacher finds the items of a batch,
    and how it correlates the classes. Items of a batch are compared with one another, so a batch is not the
    sum of its micro-batches.

    Args:
        temperatures: T, one or several; the three parts are computed at each and averaged.
        item_weight: multiplies T² · KL(teacher ‖ student), the mean over items.
        batch_weight: multiplies the squared distance of the Gram matrices of items, divided by their number.
        class_weight: multiplies that of the Gram matrices of classes, divided by their number.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar. Range 0 to infinity; zero where all softmaxes are equal. The Gram matrix of
    items takes [items, items] numbers.

    Raises:
        ValueError: no temperature or one out of range, a negative weight, shapes differ, or the mask does not
            fit.

    Source: Jin et al., Multi-Level Logit Distillation, 2023, equations 4 to 9; their temperatures are 2 to 6.
    Differences: their strongly augmented view is a matter of data; the factor T² is part of the first term.
    Their code adds the five temperatures up where the mean is taken here: multiply its weights by 5. In it
    the terms of the plain view are also multiplied by the share of items (of classes, in the class term) that
    the teacher is less sure of than of the median one, about ½; the two Gram terms see the plain view alone;
    and the strong view's KLs at T = 2 and 6 are computed on the plain one. Gram terms have no factor T² in
    either, and are divided by the number of items, or of classes, once.

    Example:
        >>> teacher = torch.tensor([[200.0, 0.0], [0.0, 200.0]])
        >>> loss = MultiLevel(temperatures=[1.0], item_weight=0.0)
        >>> print(f"{loss(teacher.flip(1)[:1].expand(2, 2), teacher).item():.2f}")  # 2/2 and 2/2
        2.00
    """

    place = "logits"
    compares_items = True

    def __init__(
        self,
        *,
        temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        item_weight: float = 1.0,
        batch_weight: float = 1.0,
        class_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not temperatures:
            raise ValueError("temperatures came empty; one or more are expected")
        self.temperatures = [check_temperature(one, "one of the temperatures") for one in temperatures]
        self.weights = {
            "item_weight": item_weight,
            "batch_weight": batch_weight,
            "class_weight": class_weight,
        }
        for name, weight in self.weights.items():
            if not weight >= 0:
                raise ValueError(f"{name} came as {weight}; 0 or more is expected")

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the teacher's at three levels."""
        check_logits(student, teacher)
        items = student.shape[:-1]
        check_mask(mask, items)
        student, teacher = blank(mask, student, teacher.detach())
        counts = None if mask is None else spread(mask, items).flatten()
        rows = widen(student).flatten(0, -2), widen(teacher).flatten(0, -2)
        values = [self._at(temperature, *rows, counts) for temperature in self.temperatures]
        return torch.stack(values).mean()

    def _at(self, temperature: float, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        ours, theirs = soften(student, temperature), soften(teacher, temperature)
        by_item = masked_mean(forward_kl(ours, theirs), mask) * temperature**2
        q, p = ours.exp(), theirs.exp()
        if mask is not None:
            q, p = q * mask[:, None], p * mask[:, None]
        count = max(len(q), 1) if mask is None else mask.sum().clamp(min=1)
        by_batch = (product(q, q.T) - product(p, p.T)).square().sum() / count
        by_class = (product(q.T, q) - product(p.T, p)).square().sum() / q.shape[-1]
        return (
            self.weights["item_weight"] * by_item
            + self.weights["batch_weight"] * by_batch
            + self.weights["class_weight"] * by_class
        )

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        weights = ", ".join(f"{name}={weight}" for name, weight in self.weights.items())
        return f"temperatures={self.temperatures}, {weights}"
