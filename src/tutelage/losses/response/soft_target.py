"""Soft targets: the distillation of Hinton, Vinyals and Dean."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.heads.slopes import forward_kl_
from tutelage.losses.heads.sparse import compare_sparse
from tutelage.losses.softened import Softened
from tutelage.types import HeadLogits, SparseLogits

__all__ = ["SoftTarget"]


class SoftTarget(Softened):
    """Soft targets (KD): forward KL between softmaxes at a temperature, times the temperature squared.

    A high temperature shows what the teacher thinks of the wrong classes. The gradient through the softmax
    shrinks with the square of the temperature; the factor makes up for it, so that one weight serves at all
    temperatures.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit. At 1 they are as the network
            says, at a high one the loss becomes a match of centred logits.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of T² · KL(teacher ‖ student) in nats. Range 0
    to infinity; zero where both softmaxes are equal. Logits of −inf are classes that cannot be: where the
    teacher rules a class out it adds nothing, where only the student does the loss is infinite.

    Raises:
        ValueError: the temperature or the chunk size is out of range, shapes differ, or the mask does not
            fit.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015, sections 2 and 2.1,
    equation 1 for the softmax. Differences: KL instead of cross-entropy (equal gradients, and zero at the
    minimum); the factor T², which the paper advises in its text, is part of the loss.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[4.0, 0.0]])
        >>> loss = SoftTarget(temperature=2.0)
        >>> loss(teacher, teacher).item()
        0.0
        >>> print(f"{loss(torch.tensor([[2.0, 0.0]]), teacher).item():.4f}")
        0.2685
    """

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The forward KL."""
        return forward_kl(student, teacher)

    @property
    def between(self) -> float:
        """The forward end."""
        return 0.0

    def slope(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """The same, with its gradient written out."""
        return forward_kl_(student, teacher)

    def from_few(self, student: Tensor | HeadLogits, teacher: SparseLogits, mask: Tensor | None) -> Tensor:
        """The forward KL over the known classes and all others as one, or from a sample of classes."""
        at, size = self.temperature, self.chunk_size
        return compare_sparse(student, teacher, temperature=at, mask=mask, chunk_size=size)
