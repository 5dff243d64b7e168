"""Squared error between probabilities."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.softened import check_chunk_size, check_temperature, compare_softened

__all__ = ["ProbabilityMatch"]


class ProbabilityMatch(Loss):
    """Probability matching (Brier, MSE between softmaxes): squared distance of the probability vectors.

    Bounded and kind to a wrong teacher; the price is a gradient that vanishes where the student is sure of
    another class, and at high temperatures everywhere: it stands here without a factor that would hide it.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of Σ (p − q)². Range 0 to 2; zero where both
    softmaxes are equal.

    Raises:
        ValueError: the temperature or the chunk size is out of range, shapes differ, or the mask does not
            fit.

    Source: Brier, Verification of Forecasts Expressed in Terms of Probability, 1950, equation 2, with the
    teacher's probabilities in place of what happened. Difference: a temperature.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.25, 0.75]]).log()
        >>> print(f"{ProbabilityMatch()(student, torch.zeros(1, 2)).item():.4f}")
        0.1250
    """

    place = "logits"

    def __init__(self, *, temperature: float = 1.0, chunk_size: int | None = None) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        self.chunk_size = check_chunk_size(chunk_size)

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's probabilities with the teacher's."""
        return compare_softened(
            _squared, student, teacher, mask, temperature=self.temperature, chunk_size=self.chunk_size
        )

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}"


def _squared(student: Tensor, teacher: Tensor) -> Tensor:
    return (student.exp() - teacher.exp()).square().sum(-1)
