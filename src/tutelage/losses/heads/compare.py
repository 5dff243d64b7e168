"""Losses of logits that nobody has computed yet, so many items at a time.

With a large vocabulary the logits of a batch take more memory than the network. Here those of a chunk of
items are computed, compared and forgotten: in the forward pass already their gradient is sent on to what went
into the last linear layer, to its weight and to its bias, and only these gradients stay. The backward pass
scales them. Masked items are never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.heads.chunks import mean_of_rows
from tutelage.losses.heads.sides import Logits, Rows, Side
from tutelage.losses.heads.slopes import Slope
from tutelage.losses.reduction import check_logits, check_mask, spread
from tutelage.types import HeadLogits

__all__ = ["check_answers", "compare_heads", "toward_teacher", "unmasked"]


def compare_heads(
    student: Float[Tensor, "*items ours"] | HeadLogits,
    teacher: Float[Tensor, "*items theirs"] | HeadLogits,
    slope: Slope,
    *,
    temperature: float = 1.0,
    mask: Bool[Tensor, "*masked"] | None = None,
    chunk_size: int | None = None,
    vocabulary: int | None = None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of a divergence between softened answers.

    Gradient reaches the student's logits, or its hidden states and the weight and bias of its head, and never
    the teacher. No derivative of the derivative can be taken.

    Args:
        student: logits, or what they are computed from.
        teacher: likewise.
        slope: the divergence and its gradient: one of `slopes`.
        temperature: divides the logits of both.
        mask: true where an item counts; None when all of them do.
        chunk_size: how many items to hold at a time; None for as many as fit into some tens of megabytes.
        vocabulary: compare this many first classes, where one side has further ones that the other lacks: a
            padded vocabulary. None where the numbers are equal.

    Shapes: [*items, classes] twice, mask the first axes of the items -> a scalar, in float32 or wider. It is
    0, with a zero gradient, when no item counts.

    Raises:
        ValueError: shapes differ, the vocabulary is larger than one of both, or the mask does not fit.

    Example:
        >>> from tutelage.losses.heads.slopes import forward_kl_
        >>> head = HeadLogits(torch.tensor([[1.0]]), torch.tensor([[2.0], [0.0], [9.0]]))
        >>> teacher = torch.tensor([[4.0, 0.0]])
        >>> compare_heads(head, teacher, forward_kl_, temperature=2.0, vocabulary=2)
        tensor(0.0671)
    """
    student, teacher = _cut(student, vocabulary, "student"), _cut(teacher, vocabulary, "teacher")
    rows, count = unmasked(mask, check_answers(student, teacher))
    compare = toward_teacher(teacher, slope, temperature)
    return mean_of_rows(student, compare, rows, count, temperature=temperature, chunk_size=chunk_size)


def toward_teacher(
    teacher: Logits, slope: Callable[..., tuple[Tensor, Tensor]], temperature: float
) -> Callable[..., tuple[Tensor, Tensor]]:
    """What compares rows of the student with all classes of a teacher; further arguments go to the slope."""
    theirs = Side.of(teacher)

    def compare(log_probs: Tensor, some: Rows, **mix: Any) -> tuple[Tensor, Tensor]:
        other = theirs.log_probs(some, temperature)
        dtype = torch.promote_types(log_probs.dtype, other.dtype)
        return slope(log_probs.to(dtype), other.to(dtype), **mix)

    return compare


def unmasked(mask: Tensor | None, items: torch.Size) -> tuple[Tensor | None, int]:
    """Which rows count, of items laid end to end (None for all), and how many they are.

    Raises:
        ValueError: the mask does not fit.
    """
    check_mask(mask, items)
    if mask is None:
        return None, items.numel()
    rows = spread(mask, items).flatten().nonzero().squeeze(-1)
    return rows, len(rows)


def check_answers(student: Logits, teacher: Any = None) -> torch.Size:
    """Refuse answers without an axis of items and one of classes, or of unequal shapes.

    Returns:
        The shape of the items.

    Raises:
        ValueError: they do not fit.
    """
    for held in (student, teacher):
        if isinstance(held, HeadLogits) and held.hidden.shape[-1] != held.weight.shape[-1]:
            raise ValueError(
                f"the head came with a weight of width {held.weight.shape[-1]} for hidden states of width "
                f"{held.hidden.shape[-1]}; equal widths are expected: pass what goes into this very layer"
            )
    check_logits(*(torch.zeros(()).expand(held.shape) for held in (student, teacher) if held is not None))
    return student.shape[:-1]


def _cut(logits: Logits, vocabulary: int | None, who: str) -> Logits:
    """The first classes only."""
    if vocabulary is None or vocabulary == logits.shape[-1]:
        return logits
    if not 0 < vocabulary < logits.shape[-1]:
        raise ValueError(
            f"the vocabulary came as {vocabulary}, and the {who} has {logits.shape[-1]} classes; expected is "
            "a number of classes that both have: pass the smaller one of both"
        )
    if isinstance(logits, Tensor):
        return logits[..., :vocabulary]
    bias = None if logits.bias is None else logits.bias[:vocabulary]
    return replace(logits, weight=logits.weight[:vocabulary], bias=bias)
