"""Target class and other classes apart, as two cross-entropies."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import beside_labels, masked_mean
from tutelage.losses.softened import beside_label, check_temperature

__all__ = ["Normalised"]


class Normalised(Loss):
    """Normalised distillation (NKD): the label weighted by the teacher's trust in it, and normalised others.

    The teacher's probability of the label becomes the weight of an ordinary cross-entropy; the other classes
    are normalised among themselves, so that their sums agree and the KL between them can reach zero.

    An item labelled `UNLABELLED` (−100) has no target class; it adds nothing and stays in the denominator.

    Args:
        temperature: λ, divides the logits of both in the part on other classes; above 0, without a unit.
        other_weight: γ, multiplies that part.

    Shapes: student and teacher [items, classes] or [items, length, classes], labels [items] or
    [items, length], mask likewise -> a scalar, the mean over unmasked items of −p(label) log q(label) +
    γ λ² · KL over the others, in nats. Range 0 to infinity; zero where the student is sure of the label.

    Raises:
        ValueError: the temperature is out of range, the weight is negative, shapes differ, labels are not
            integers, or the mask does not fit.

    Source: Yang et al., From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss, 2023, equation 8; their γ is 1.5 and λ 1. Differences: KL instead of cross-entropy for
    the others (equal gradients, and zero at the minimum); the term on labels alone is a match of its own.

    Example:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[0.0, 0.0]])
        >>> print(f"{Normalised()(student, teacher, torch.tensor([0])).item():.4f}")  # ½ log 2
        0.3466
    """

    place = "logits"
    least_at_teacher = False

    def __init__(self, *, temperature: float = 1.0, other_weight: float = 1.5) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        if not other_weight >= 0:
            raise ValueError(f"other_weight came as {other_weight}; 0 or more is expected")
        self.other_weight = other_weight

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        labels: Integer[Tensor, "*items"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student with the label as the teacher trusts it, and with the teacher's others."""
        counts, student, teacher, label = beside_labels(student, teacher, labels, mask)
        trust = teacher.softmax(-1).gather(-1, label).squeeze(-1)
        target = -trust * student.log_softmax(-1).gather(-1, label).squeeze(-1)
        ours, theirs = (beside_label(logits / self.temperature, label)[1] for logits in (student, teacher))
        values = target + self.other_weight * self.temperature**2 * forward_kl(ours, theirs)
        return masked_mean(torch.where(counts, values, 0), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}, other_weight={self.other_weight}"
