"""Soft targets towards a mixture, so that the gradient stays bounded."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.heads.slopes import skewed_kl_
from tutelage.losses.softened import Softened

__all__ = ["SkewedSoftTarget"]


class SkewedSoftTarget(Softened):
    """Skewed soft targets (SKL, DistiLLM): forward KL from the teacher to a mixture of teacher and student.

    Where the student gives almost no probability, the forward KL and its gradient explode; mixed with a
    little of the teacher they stay bounded, and a poor student learns steadily.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        skew: α, the teacher's part of the mixture, from 0 (the forward KL) and below 1.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · KL(p ‖ α p + (1 − α) q) in nats. Range 0
    to T² · log(1/α); zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature, the skew or the chunk size is out of range, shapes differ, or the mask
            does not fit.

    Source: Ko et al., DistiLLM: Towards Streamlined Distillation for Large Language Models, 2024, equation 4;
    their α is 0.1. Differences: a temperature, and its square.

    Example:
        >>> teacher = torch.tensor([[0.0, 0.0]])
        >>> sure = torch.tensor([[100.0, 0.0]])  # KL to (.95, .05): ½ log(.5/.95) + ½ log(.5/.05)
        >>> print(f"{SkewedSoftTarget(temperature=1.0)(sure, teacher).item():.4f}")
        0.8304
    """

    def __init__(self, *, temperature: float = 1.0, skew: float = 0.1, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)
        if not 0 <= skew < 1:
            raise ValueError(f"skew came as {skew}; at least 0 and below 1 is expected")
        self.skew = skew

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The forward KL to the mixture."""
        if self.skew == 0:
            return forward_kl(student, teacher)
        student = student.masked_fill(torch.isneginf(student) & torch.isneginf(teacher), 0)  # no −inf twice
        mixture = torch.logaddexp(teacher + math.log(self.skew), student + math.log1p(-self.skew))
        return forward_kl(mixture, teacher)

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with its gradient written out."""
        return skewed_kl_(student, teacher, skew=self.skew)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"{super().extra_repr()}, skew={self.skew}"
