"""Soft targets by the absolute difference of probabilities."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.divergences import total_variation
from tutelage.losses.loss import Loss
from tutelage.losses.softened import check_chunk_size, check_temperature, compare_softened

__all__ = ["TotalVariationTarget"]


class TotalVariationTarget(Loss):
    """Total variation targets (TVD): half of the absolute differences of probabilities, at a temperature.

    Symmetric, bounded, and without a logarithm: no single class can dominate. In speculative decoding it is
    what the draft model should minimise, the chance that a draft is rejected.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T · ½ Σ |p − q|. Range 0 to T; zero where
    both softmaxes are equal.

    Raises:
        ValueError: the temperature or the chunk size is out of range, shapes differ, or the mask does not
            fit.

    Source: Wen et al., f-Divergence Minimization for Sequence-Level Knowledge Distillation, 2023, for the
    distribution of one item. Differences: a temperature; its gradient shrinks with T, not with T², and so is
    the factor.

    Example:
        >>> import torch
        >>> student = torch.tensor([[0.25, 0.75]]).log()
        >>> print(f"{TotalVariationTarget()(student, torch.zeros(1, 2)).item():.4f}")
        0.2500
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
        """Compare the student's softened answers with the teacher's."""
        value = compare_softened(
            total_variation, student, teacher, mask, temperature=self.temperature, chunk_size=self.chunk_size
        )
        return value * self.temperature

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}"
