"""Which items count, and how many of them are left."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.reduction import spread
from tutelage.types import Batch

__all__ = ["both", "part_left"]


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
