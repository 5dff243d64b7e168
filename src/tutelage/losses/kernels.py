"""What losses through kernels and correlations share: values about their mean."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["ROUNDING", "about_mean", "centred"]

ROUNDING = 8
"""Values that differ by so many units in the last place differ by rounding alone."""


def about_mean(
    values: Float[Tensor, "*rows values"], counts: Bool[Tensor, "..."] | None = None
) -> Float[Tensor, "*rows values"]:
    """Values less their mean along the last axis; exactly zero where they differ by rounding alone.

    The mean of equal numbers is rounded, and what is left of them would be noise: divided by its own size, as
    a deviation is, it would look like knowledge. The gradient is that of the difference all the same.

    Args:
        values: in float32 or wider.
        counts: true where a value counts, of a shape that broadcasts; the others become zero. None for all.

    Example:
        >>> about_mean(torch.tensor([[1.0, 4.0], [0.1, 0.1]]))
        tensor([[-1.5000,  1.5000],
                [ 0.0000,  0.0000]])
    """
    low = high = values.detach()
    if counts is not None:
        low, high = low.masked_fill(~counts, torch.inf), high.masked_fill(~counts, -torch.inf)
    low, high = low.amin(-1, keepdim=True), high.amax(-1, keepdim=True)
    reach = ROUNDING * torch.finfo(values.dtype).eps * torch.maximum(low.abs(), high.abs())
    equal = (high - low <= reach) & reach.isfinite()
    if counts is None:
        centred = values - values.mean(-1, keepdim=True)
    else:
        number = counts.sum(-1, keepdim=True).clamp(min=1)
        mean = values.masked_fill(~counts, 0).sum(-1, keepdim=True) / number
        centred = (values - mean).masked_fill(~counts, 0)
    return centred - centred.detach().masked_fill(~equal, 0)


def centred(
    rows: Float[Tensor, "items channels"], counts: Bool[Tensor, " items"]
) -> Float[Tensor, "items channels"]:
    """Rows without their mean over the items that count; zero where one does not.

    The mean is taken away twice, so that a channel which does not vary is exactly zero, whatever the first
    mean was rounded to.

    Args:
        rows: zero where an item does not count.
        counts: true where an item counts.

    Example:
        >>> centred(torch.tensor([[1.0], [4.0], [0.0]]), torch.tensor([True, True, False])).flatten()
        tensor([-1.5000,  1.5000,  0.0000])
    """
    kept, total = counts.unsqueeze(1), counts.sum().clamp(min=1)
    for _ in range(2):
        rows = torch.where(kept, rows - rows.sum(0) / total, 0)
    return rows
