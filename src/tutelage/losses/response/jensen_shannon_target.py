"""Soft targets by a bounded divergence that lies between the two KLs."""

from __future__ import annotations

from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.divergences import jensen_shannon
from tutelage.losses.loss import Loss
from tutelage.losses.softened import check_chunk_size, check_temperature, compare_softened

__all__ = ["JensenShannonTarget"]


class JensenShannonTarget(Loss):
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

    place = "logits"

    def __init__(self, *, temperature: float = 1.0, skew: float = 0.5, chunk_size: int | None = None) -> None:
        super().__init__()
        if not 0 < skew < 1:
            raise ValueError(f"skew came as {skew}; above 0 and below 1 is expected")
        self.temperature, self.skew = check_temperature(temperature), skew
        self.chunk_size = check_chunk_size(chunk_size)

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened answers with the teacher's."""
        value = compare_softened(
            partial(jensen_shannon, skew=self.skew),
            student,
            teacher,
            mask,
            temperature=self.temperature,
            chunk_size=self.chunk_size,
        )
        return value * self.temperature**2

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}, skew={self.skew}"
