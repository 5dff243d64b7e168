"""Soft targets by the absolute difference of probabilities."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.divergences import total_variation
from tutelage.losses.heads.slopes import total_variation_
from tutelage.losses.softened import Softened

__all__ = ["TotalVariationTarget"]


class TotalVariationTarget(Softened):
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

    power = 1

    def __init__(self, *, temperature: float = 1.0, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Half of the absolute differences."""
        return total_variation(student, teacher)

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with its gradient written out."""
        return total_variation_(student, teacher)
