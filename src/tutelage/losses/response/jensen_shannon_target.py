"""Soft targets by a bounded divergence that lies between the two KLs."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.divergences import jensen_shannon
from tutelage.losses.heads.slopes import jensen_shannon_
from tutelage.losses.softened import Softened

__all__ = ["JensenShannonTarget"]


class JensenShannonTarget(Softened):
    """Jensen–Shannon targets (JSD, as in GKD): generalised Jensen–Shannon divergence at a temperature.

    Bounded, and between covering all of the teacher's modes and settling on some of them: which of the two is
    set by one number.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        skew: β, the teacher's part of the mixture, above 0 and below 1; ½ is symmetric.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · JSD in nats. Range 0 to T² · log 2; zero
    where both softmaxes are equal.

    Raises:
        ValueError: the temperature, the skew or the chunk size is out of range, shapes differ, or the mask
            does not fit.

    Source: Agarwal et al., On-Policy Distillation of Language Models (GKD), 2024, section 2; their β are 0.1,
    0.5 and 0.9. Differences: a temperature, and its square.

    Example:
        >>> import torch
        >>> apart = torch.tensor([[200.0, 0.0]]), torch.tensor([[0.0, 200.0]])
        >>> print(f"{JensenShannonTarget()(*apart).item():.4f}")  # log 2
        0.6931
    """

    def __init__(self, *, temperature: float = 1.0, skew: float = 0.5, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)
        if not 0 < skew < 1:
            raise ValueError(f"skew came as {skew}; above 0 and below 1 is expected")
        self.skew = skew

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The generalised Jensen–Shannon divergence."""
        return jensen_shannon(student, teacher, skew=self.skew)

    @property
    def between(self) -> float:
        """The skew."""
        return self.skew

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with its gradient written out."""
        return jensen_shannon_(student, teacher, skew=self.skew)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"{super().extra_repr()}, skew={self.skew}"
