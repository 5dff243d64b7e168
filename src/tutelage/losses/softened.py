"""What losses on softened answers share: the temperature, the mask, the chunks, the mean."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.reduction import blank, check_logits, check_mask, in_chunks, masked_mean, spread, widen

__all__ = ["check_chunk_size", "check_temperature", "compare_softened", "soften"]

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(log-probabilities of the student, those of the teacher) -> a number for each item."""


def soften(logits: Float[Tensor, "*items classes"], temperature: float) -> Float[Tensor, "*items classes"]:
    """Log-probabilities at a temperature, in float32 or wider."""
    return (widen(logits) / temperature).log_softmax(-1)


def compare_softened(
    divergence: Divergence,
    student: Float[Tensor, "*items classes"],
    teacher: Float[Tensor, "*items classes"],
    mask: Bool[Tensor, "*masked"] | None,
    *,
    temperature: float,
    chunk_size: int | None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of a divergence between softened answers; the teacher is detached.

    Args:
        divergence: of log-probabilities, for each item.
        student, teacher: logits.
        mask: true where an item counts; None when all of them do.
        temperature: divides the logits of both.
        chunk_size: how many items to hold in memory at a time; None for all at once.

    Raises:
        ValueError: shapes differ, or the mask does not fit.
    """
    check_logits(student, teacher)
    items = student.shape[:-1]
    check_mask(mask, items)

    def compare(student: Tensor, teacher: Tensor, mask: Tensor | None) -> Tensor:
        student, teacher = blank(mask, student, teacher)
        return divergence(soften(student, temperature), soften(teacher, temperature))

    rows = student.flatten(0, -2), teacher.detach().flatten(0, -2)
    row_mask = None if mask is None else spread(mask, items).flatten()
    return masked_mean(in_chunks(compare, *rows, row_mask, size=chunk_size).reshape(items), mask)


def check_temperature(temperature: float, name: str = "temperature") -> float:
    """Refuse what no softmax can be taken at."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"{name} came as {temperature}; a finite number above 0 is expected")
    return temperature


def check_chunk_size(chunk_size: int | None) -> int | None:
    """Refuse empty chunks."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size came as {chunk_size}; pass 1 or more, or None for no chunks")
    return chunk_size
