"""A soft target whose temperature learns to make it harder."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, widen
from tutelage.types import Moment

__all__ = ["CurriculumTarget"]


class CurriculumTarget(Loss):
    """Curriculum temperature (CTKD): a soft target at a learned temperature that works against the student.

    The student goes down the slope of the loss, the temperature goes up it, the more so the further the
    training is: easy first, hard later, without a schedule of temperatures to tune.

    Args:
        temperature: T at the start; between `lowest` and `highest`.
        lowest, highest: the bounds of T; above 0.
        strength: λ at its height: how steeply T climbs, relative to the student's descent; 0 or more.
        rise: the part of the training over which λ grows from 0, along half a cosine.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, T² times the mean over unmasked items of KL(teacher ‖ student) at T, in nats.
    Range 0 to infinity; zero where both softmaxes are equal. A class at −inf for both has no part in it.

    Raises:
        ValueError: a temperature, strength or rise out of range, shapes differ, or the mask does not fit.

    Source: Li et al., Curriculum Temperature for Knowledge Distillation, 2023, section 3, its global form;
    their λ rises over the first 10 epochs of 240. Differences: T is held between its bounds by a logistic
    function; the instance-wise form, which needs a network of its own, is left out.

    Example:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[4.0, 0.0]])
        >>> loss = CurriculumTarget(temperature=4.0)
        >>> print(f"{loss(student, teacher).item():.4f}")  # 16 · KL((.731, .269) ‖ (.5, .5))
        1.7751
    """

    place = "logits"

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        lowest: float = 1.0,
        highest: float = 21.0,
        strength: float = 1.0,
        rise: float = 10 / 240,
    ) -> None:
        super().__init__()
        if not 0 < lowest < temperature < highest < math.inf:
            raise ValueError(
                f"a temperature of {temperature} came between {lowest} and {highest}; expected "
                "0 < lowest < temperature < highest"
            )
        if not (0 <= strength < math.inf and 0 < rise <= 1):
            raise ValueError(f"strength {strength} and rise {rise} came; 0 or more, and up to 1 are expected")
        self.lowest, self.highest, self.strength, self.rise = lowest, highest, strength, rise
        place = (temperature - lowest) / (highest - lowest)
        self.hardness = nn.Parameter(torch.tensor(math.log(place / (1 - place))))
        self.reversal = 0.0

    @property
    def temperature(self) -> Tensor:
        """T, with its gradient turned round."""
        held = self.hardness.detach() * (1 + self.reversal) - self.hardness * self.reversal
        return self.lowest + (self.highest - self.lowest) * held.sigmoid()

    def begin(self, moment: Moment) -> None:
        """Let λ grow."""
        way = min(moment.step / max(moment.total * self.rise, 1), 1.0)
        self.reversal = self.strength * (1 - math.cos(math.pi * way)) / 2

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened answers with the teacher's, at the learned temperature."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        temperature = self.temperature
        ours, theirs = (_soften(held, temperature) for held in (student, teacher))
        return masked_mean(forward_kl(ours, theirs), mask) * temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"lowest={self.lowest}, highest={self.highest}, strength={self.strength}, rise={self.rise}"


def _soften(logits: Tensor, temperature: Tensor) -> Tensor:
    """Log-probabilities; of a class at −inf the temperature learns nothing."""
    absent = torch.isneginf(logits)
    softened: Tensor = widen(logits).masked_fill(absent, 0) / temperature
    return softened.masked_fill(absent, -torch.inf).log_softmax(-1)
