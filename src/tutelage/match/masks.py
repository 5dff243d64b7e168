"""Which items count, and how many of them are left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tutelage.layout import Layout
from tutelage.losses.reduction import spread
from tutelage.types import Batch

__all__ = ["both", "part_left", "without_padding"]


def both(one: Tensor | None, other: Tensor) -> Tensor:
    """Where both are true; the one with fewer axes covers those that it does not have."""
    if one is None:
        return other
    shape = one.shape if one.ndim >= other.ndim else other.shape
    return spread(one, shape) & spread(other, shape)


def part_left(mask: Tensor | None, batch: Batch) -> Tensor | float:
    """The part of the batch's items that are left; those gated out stay in the denominator."""
    if mask is None or mask is batch.mask:
        return 1.0
    if batch.mask is None:
        return mask.float().mean()
    whole = batch.mask if batch.mask.ndim >= mask.ndim else spread(batch.mask, mask.shape)
    return mask.sum() / whole.sum().clamp(min=1)


def without_padding(
    mask: Tensor | None, batch: Batch, feature: Any, layouts: Sequence[Layout]
) -> Tensor | None:
    """The mask of a feature of a text, in which what fills up counts nothing.

    Args:
        mask: what counts besides, [N] or [N, length]; None for all.
        batch: where its inputs are a mapping, `attention_mask` [N, length] says what fills up.
        feature: a teacher's, tokens [N, length, channels] or attention [N, heads, length, length]; others
            keep the mask.
        layouts: which of these the loss compares.

    Example:
        >>> import torch
        >>> there = torch.tensor([[1, 1, 0]])
        >>> batch = Batch({"input_ids": there, "attention_mask": there}, torch.arange(1))
        >>> without_padding(None, batch, torch.zeros(1, 3, 8), ("tokens",))
        tensor([[ True,  True, False]])
        >>> without_padding(None, batch, torch.zeros(1, 8), ("vectors", "tokens")) is None
        True
    """
    there = batch.inputs.get("attention_mask") if isinstance(batch.inputs, Mapping) else None
    if not isinstance(there, Tensor) or there.ndim != 2 or not isinstance(feature, Tensor):
        return mask
    length = {3: ("tokens", 1), 4: ("attention", 3)}.get(feature.ndim)
    if length is None or length[0] not in layouts or feature.shape[length[1]] != there.shape[1]:
        return mask
    return both(mask, there.bool())
