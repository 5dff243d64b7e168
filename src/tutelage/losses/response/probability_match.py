"""Squared error between probabilities."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.softened import Softened

__all__ = ["ProbabilityMatch"]


class ProbabilityMatch(Softened):
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

    power = 0

    def __init__(self, *, temperature: float = 1.0, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The squared distance."""
        return (student.exp() - teacher.exp()).square().sum(-1)
