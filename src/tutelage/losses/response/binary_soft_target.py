"""Soft targets where classes do not exclude one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, widen
from tutelage.losses.softened import check_temperature

__all__ = ["BinarySoftTarget"]


class BinarySoftTarget(Loss):
    """Binary soft targets (multi-label KD): KL between sigmoids by class, times the temperature squared.

    A softmax would make labels compete that may hold together: attributes of a picture, tags, the one class
    of a detector's foreground. Each class is a question of its own.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · the sum over classes of the KL between
    two Bernoulli distributions, in nats. Range 0 to infinity; zero where the logits are equal. A class at
    −inf has the probability 0.

    Raises:
        ValueError: the temperature is out of range, shapes differ, or the mask does not fit.

    Source: Yang et al., Multi-Label Knowledge Distillation, 2023, equation 3. Differences: a temperature, and
    its square; the sum over classes is not weighted.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[1.0986, 0.0]])  # probabilities ¾ and ½
        >>> print(f"{BinarySoftTarget(temperature=1.0)(torch.zeros(1, 2), teacher).item():.4f}")
        0.1308
    """

    place = "logits"

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened yes and no with the teacher's."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        ours, theirs = widen(student) / self.temperature, widen(teacher) / self.temperature
        probability = theirs.sigmoid()
        yes = probability * _log_gap(theirs, ours)
        no = (1 - probability) * _log_gap(-theirs, -ours)
        return masked_mean((yes + no).sum(-1), mask) * self.temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}"


def _log_gap(teacher: Tensor, student: Tensor) -> Tensor:
    """log p − log q; finite where p is 0, which it is multiplied by."""
    never = torch.isneginf(teacher)
    return F.logsigmoid(teacher.masked_fill(never, 0)) - F.logsigmoid(student.masked_fill(never, 0))
