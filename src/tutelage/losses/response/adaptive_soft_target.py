"""Soft targets that mix both KL divergences by where student and teacher part."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.losses.divergences import forward_kl, reverse_kl
from tutelage.losses.softened import Softened

__all__ = ["AdaptiveSoftTarget"]


class AdaptiveSoftTarget(Softened):
    """Adaptive soft targets (AKL): forward and reverse KL, mixed by where the two distributions part.

    Early in training the forward KL works on the classes that the teacher finds likely and the reverse KL on
    the others. Each item gives the first as much weight as the gap between student and teacher lies on the
    likely classes, and the second as much as it lies on the rest.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        head: μ, the probability that the teacher's likeliest classes make up together, above 0 and below 1.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · (h · KL(p ‖ q) + t · KL(q ‖ p)) in nats,
    where h and t = 1 − h are the shares of Σ |p − q| that lie on likely classes and on the rest. Range 0 to
    infinity; zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature, the head or the chunk size is out of range, shapes differ, or the mask
            does not fit.

    Source: Wu et al., Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large Language
    Models, 2024, the section on adaptive KL; their μ is 0.5. Differences: a temperature, and its square;
    the shares are differentiated with the rest.

    Example:
        >>> teacher = torch.tensor([[2.0, 0.0, 0.0]])
        >>> print(f"{AdaptiveSoftTarget(temperature=1.0)(torch.zeros(1, 3), teacher).item():.4f}")
        0.4537
    """

    def __init__(self, *, temperature: float = 1.0, head: float = 0.5, chunk_size: int | None = None) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)
        if not 0 < head < 1:
            raise ValueError(f"head came as {head}; above 0 and below 1 is expected")
        self.head = head

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Both divergences, each by its share of the gap."""
        likely = _likely(teacher.exp(), self.head)
        gaps = (teacher.exp() - student.exp()).abs()
        ahead, whole = (gaps * likely).sum(-1), gaps.sum(-1)
        share = ahead / whole.clamp(min=torch.finfo(whole.dtype).tiny)
        return share * forward_kl(student, teacher) + (1 - share) * reverse_kl(student, teacher)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"{super().extra_repr()}, head={self.head}"


def _likely(probs: Tensor, least: float) -> Tensor:
    """True for as few classes as make up so much probability, the likeliest first."""
    ordered, places = probs.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(probs, dtype=torch.bool).scatter(-1, places, before < least)
