"""Which weights stay: all but a share of the smallest scores, or so many of each few in a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["how_many", "largest_of_each", "without_smallest"]


def without_smallest(
    scores: Sequence[Tensor], share: float, *, by_layer: bool, masked: Sequence[Tensor] = ()
) -> list[Tensor]:
    """True where a weight stays, layer by layer; of each layer at least one does.

    Of equal scores the first ones go.

    Args:
        scores: of each layer's weights.
        share: that is taken out.
        by_layer: of each layer, instead of all together.
        masked: true where a weight is out already; at least as many are out afterwards.

    Example:
        >>> scores = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
        >>> without_smallest(scores, 0.5, by_layer=True)
        [tensor([False,  True]), tensor([False,  True])]
        >>> without_smallest(scores, 0.25, by_layer=False)
        [tensor([False,  True]), tensor([True, True])]
    """
    if by_layer:
        held: Sequence[Tensor | None] = list(masked) or [None] * len(scores)
        return [_kept([each], share, [out])[0] for each, out in zip(scores, held, strict=True)]
    return _kept(scores, share, list(masked) or [None] * len(scores))


def _kept(scores: Sequence[Tensor], share: float, masked: Sequence[Tensor | None]) -> list[Tensor]:
    flat = torch.cat([each.flatten().float() for each in scores])
    start = 0
    for each in scores:  # the largest of each layer stays
        flat[start + each.argmax()] = torch.inf
        start += each.numel()
    out = sum(int(each.sum()) for each in masked if each is not None)
    count = max(out, how_many([each.numel() for each in scores], share))
    kept = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
    kept[flat.argsort(stable=True)[:count]] = False
    parts = torch.split(kept, [each.numel() for each in scores])
    return [part.view(each.shape) for part, each in zip(parts, scores, strict=True)]


def how_many(sizes: Sequence[int], share: float) -> int:
    """How many weights go of layers of these sizes together, where one of each stays."""
    return min(round(share * sum(sizes)), sum(sizes) - len(sizes))


def largest_of_each(scores: Tensor, keep: int, of: int) -> Tensor:
    """True where a weight stays: `keep` of each `of` that follow one another along the second axis.

    Example:
        >>> largest_of_each(torch.tensor([[1.0, 4.0, 3.0, 2.0]]), 2, 4)
        tensor([[False,  True,  True, False]])
    """
    rows = scores.movedim(1, -1)
    few = rows.reshape(-1, of)
    kept = torch.zeros_like(few, dtype=torch.bool)
    kept.scatter_(1, few.argsort(dim=1, descending=True, stable=True)[:, :keep], True)
    return kept.view(rows.shape).movedim(-1, 1).contiguous()
