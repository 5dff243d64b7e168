"""Soft targets the other way round: the student is charged for what only it says."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.divergences import reverse_kl
from tutelage.losses.heads.slopes import reverse_kl_
from tutelage.losses.softened import Softened

__all__ = ["ReverseSoftTarget"]


class ReverseSoftTarget(Softened):
    """Reverse soft targets (reverse KL, RKL): KL(student ‖ teacher) at a temperature, times its square.

    A student too small to cover all of the teacher's modes settles on some of them, instead of spreading
    over what lies between; in language models it writes fewer things that the teacher never would.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · KL(student ‖ teacher) in nats. Range 0
    to infinity; zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature or the chunk size is out of range, shapes differ, or the mask does not
            fit.

    Source: Gu et al., MiniLLM: Knowledge Distillation of Large Language Models, 2024, equation 1, for the
    distribution of one item. Differences: items of a batch stand in place of sequences that the student
    samples; a temperature, and its square, so that a weight serves at all temperatures.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[4.0, 0.0]])
        >>> print(f"{ReverseSoftTarget(temperature=2.0)(torch.zeros(1, 2), teacher).item():.4f}")
        1.7351
    """

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The reverse KL."""
        return reverse_kl(student, teacher)

    @property
    def between(self) -> float:
        """The reverse end."""
        return 1.0

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with its gradient written out."""
        return reverse_kl_(student, teacher)
