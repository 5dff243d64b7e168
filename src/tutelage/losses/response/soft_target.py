"""Soft targets: the distillation of Hinton, Vinyals and Dean."""

from __future__ import annotations

import math

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, in_chunks, masked_mean, spread, widen

__all__ = ["SoftTarget"]


class SoftTarget(Loss):
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

    place = "logits"

    def __init__(self, *, temperature: float = 4.0, chunk_size: int | None = None) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature came as {temperature}; a finite number above 0 is expected")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size came as {chunk_size}; pass 1 or more, or None for no chunks")
        self.temperature = temperature
        self.chunk_size = chunk_size

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's softened answers with the teacher's."""
        check_logits(student, teacher)
        items = student.shape[:-1]
        check_mask(mask, items)
        rows = student.flatten(0, -2), teacher.detach().flatten(0, -2)
        row_mask = None if mask is None else spread(mask, items).flatten()
        values = in_chunks(self._compare_rows, *rows, row_mask, size=self.chunk_size)
        return masked_mean(values.reshape(items), mask) * self.temperature**2

    def _compare_rows(self, student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        student, teacher = blank(mask, student, teacher)
        return forward_kl(self._soften(student), self._soften(teacher))

    def _soften(self, logits: Tensor) -> Tensor:
        return (widen(logits) / self.temperature).log_softmax(-1)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        chunks = "" if self.chunk_size is None else f", chunk_size={self.chunk_size}"
        return f"temperature={self.temperature}{chunks}"
