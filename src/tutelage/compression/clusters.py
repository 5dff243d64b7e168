"""k-means in one dimension, the same on every machine."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

__all__ = ["clusters"]

_ROUNDS = 1000


def clusters(values: Tensor, count: int) -> Tensor:
    """Centroids of numbers, in order: at most `count`, begun evenly between the least and the largest.

    On a line a cluster is a stretch of the sorted numbers. A round of Lloyd's algorithm therefore looks up
    where `count` stretches end, and takes their means from running sums, however many numbers there are.
    Where clusters end up empty, as in the hole that pruning leaves around zero, those with the largest
    errors are cut in two instead. Nothing is drawn.

    Args:
        values: one or more finite numbers.
        count: 1 or more.

    Source: Lloyd 1982, "Least squares quantization in PCM"; the beginning is the linear one of Han et al.
        2016, "Deep Compression", section 3.2, which keeps the large weights best.

    Example:
        >>> clusters(torch.tensor([0.0, 1.0, 1.0, 9.0, 11.0]), 2)
        tensor([ 0.6667, 10.0000], dtype=torch.float64)
    """
    line = values.detach().flatten().double().sort().values
    distinct = cast(Tensor, line.unique_consecutive())  # type: ignore[no-untyped-call]
    if len(distinct) <= count:
        return distinct
    centres = torch.linspace(float(line[0]), float(line[-1]), count, dtype=line.dtype, device=line.device)
    centres, errors, sizes = _settled(line, centres)
    while len(centres) < count:
        worst = (errors * sizes).topk(min(count - len(centres), int((errors > 0).sum()))).indices
        apart = torch.zeros_like(centres)
        apart[worst] = errors[worst].sqrt()
        before = len(centres)
        tried = torch.cat([centres - apart, (centres + apart)[worst]]).sort().values
        centres, errors, sizes = _settled(line, tried)
        if len(centres) <= before:
            break
    return centres


def _settled(line: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lloyd's rounds until nothing moves: centroids, their mean squared errors, how many numbers each has."""
    sums, squares = (torch.cat([line.new_zeros(1), held.cumsum(0)]) for held in (line, line.square()))
    ends = torch.tensor([0, len(line)], device=line.device)
    for _ in range(_ROUNDS):
        inner = torch.searchsorted(line, (centres[1:] + centres[:-1]) / 2)
        edges = torch.cat([ends[:1], inner, ends[1:]])
        sizes = edges.diff()
        means = (sums[edges[1:]] - sums[edges[:-1]]) / sizes.clamp(min=1)
        moved = torch.where(sizes > 0, means, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    held = sizes > 0
    spread = (squares[edges[1:]] - squares[edges[:-1]])[held] / sizes[held] - centres[held].square()
    return centres[held], spread.clamp(min=0) * (sizes[held] > 1), sizes[held]
