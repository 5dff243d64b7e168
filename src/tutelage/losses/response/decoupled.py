"""Soft targets in two parts: how sure the teacher is, and what it thinks of the other classes."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import beside_labels, masked_mean
from tutelage.losses.softened import beside_label, check_temperature

__all__ = ["Decoupled"]


class Decoupled(Loss):
    """Decoupled distillation (DKD): target-class and other-class parts of the KL, weighted apart.

    In a plain soft target the part about the other classes is multiplied by one minus the teacher's
    probability of the label: the surer the teacher, the less of its knowledge gets through. Here that part
    has a weight of its own.

    An item labelled `UNLABELLED` (−100) has no target class; it adds nothing and stays in the denominator.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        target_weight: α, multiplies the KL between the two-way answers (label, all others).
        other_weight: β, multiplies the KL between the softmaxes over the other classes alone.

    Shapes: student and teacher [items, classes] or [items, length, classes], labels [items] or
    [items, length], mask likewise -> a scalar, the mean over unmasked items of T² · (α · TCKD + β · NCKD) in
    nats. Range 0 to infinity; zero where both softmaxes are equal, as they are of one class.

    Raises:
        ValueError: the temperature is out of range, a weight is negative, shapes differ, labels are not
            integers, or the mask does not fit.

    Source: Zhao et al., Decoupled Knowledge Distillation, 2022, equations 5 to 7; their α is 1, and β 8 for
    most pairs on CIFAR-100. No differences.

    Example:
        >>> student, teacher = torch.zeros(1, 3), torch.tensor([[2.0, 1.0, 0.0]])
        >>> loss = Decoupled(temperature=1.0, target_weight=0.0, other_weight=1.0)
        >>> print(f"{loss(student, teacher, torch.tensor([0])).item():.4f}")  # (.731, .269), (.5, .5)
        0.1109
    """

    place = "logits"

    def __init__(
        self, *, temperature: float = 4.0, target_weight: float = 1.0, other_weight: float = 8.0
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        for name, weight in (("target_weight", target_weight), ("other_weight", other_weight)):
            if not weight >= 0:
                raise ValueError(f"{name} came as {weight}; 0 or more is expected")
        self.target_weight, self.other_weight = target_weight, other_weight

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        labels: Integer[Tensor, "*items"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened answers with the teacher's, in two parts."""
        counts, student, teacher, label = beside_labels(student, teacher, labels, mask)
        ours, theirs = (beside_label(logits / self.temperature, label) for logits in (student, teacher))
        target, other = (forward_kl(s, t) for s, t in zip(ours, theirs, strict=True))
        values = self.target_weight * target + self.other_weight * other
        return masked_mean(torch.where(counts, values, 0), mask) * self.temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return (
            f"temperature={self.temperature}, target_weight={self.target_weight}, "
            f"other_weight={self.other_weight}"
        )
