"""What losses that compare the items of a batch share: distances, directions, sums over pairs.

A matrix over all pairs of items is the price of such a loss. These helpers hold few rows of it at a time in a
large batch, and never anything of the size [items, items, channels]. Masked items come in as zero rows.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.blocks import sum_by_blocks
from tutelage.losses.reduction import widen

__all__ = [
    "LOWEST",
    "directions",
    "distances",
    "lengths",
    "log_shares",
    "mean_distance",
    "num_pairs",
    "other_items",
    "product",
    "row_kl",
]

LOWEST = -1e30
"""A score of what has no part in a softmax: finite in float32, sums and gaps of it too."""

_BLOCK = 64
"""So many rows' distances to all others are in float64 at a time."""


def product(left: Float[Tensor, "..."], right: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The matrix product in the width of its factors, also under autocast.

    Example:
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     product(torch.eye(2), torch.tensor([1.0, 2.0])).dtype
        torch.float32
    """
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def directions(vectors: Float[Tensor, "*items channels"]) -> Float[Tensor, "*items channels"]:
    """Unit vectors along the last axis, in float32 or wider; a zero vector stays zero, its gradients finite.

    Example:
        >>> directions(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    vectors = widen(vectors)
    held = lengths(vectors)
    return vectors.div(held.masked_fill(held == 0, 1))


def lengths(vectors: Float[Tensor, "*items channels"]) -> Float[Tensor, "*items 1"]:
    """Euclidean lengths along the last axis, which stays; of a zero vector 0, and its derivatives too.

    Torch takes the first derivative of a length of 0 for 0, and the second for NaN.

    Example:
        >>> lengths(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).flatten()
        tensor([5., 0.])
    """
    zero = torch.linalg.vector_norm(vectors.detach(), dim=-1, keepdim=True) == 0
    held = torch.linalg.vector_norm(vectors.masked_fill(zero, 1), dim=-1, keepdim=True)
    return torch.where(zero, 0, held)


def distances(
    rows: Float[Tensor, "items channels"], block: slice | None = None, *, squared: bool = False
) -> Float[Tensor, "some items"]:
    """Euclidean distances between rows, or their squares.

    In float32 the expansion by inner products would lose near rows in rounding, and differences would cost a
    tensor of [items, items, channels] or many times the time. Inner products in float64, of rows about their
    mean, do neither: distances of 1e-4 of the rows' spread have all digits of float32, those of 1e-6 two or
    three. What is within the rounding of float64, equal rows above all, is exactly 0 apart, with a zero
    gradient. Forward goes block by block; backward is a matrix product.

    Args:
        rows: the items.
        block: whose distances to all rows are asked for; None for all of them.
        squared: give the squares.

    Example:
        >>> distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
        tensor([[0., 5.],
                [5., 0.]])
    """
    start, stop = (0, len(rows)) if block is None else (block.start, block.stop)
    apart: Tensor = _distances(rows, start, stop, squared)
    return apart


@torch.library.custom_op(
    "tutelage::distances",
    mutates_args=(),
    schema="(Tensor rows, SymInt start, SymInt stop, bool squared) -> Tensor",
)
def _distances(rows: Tensor, start: int, stop: int, squared: bool) -> Tensor:
    if rows.device.type == "mps":  # has no float64
        apart = torch.cdist(rows[start:stop], rows, compute_mode="donot_use_mm_for_euclid_dist")
        return apart.square_() if squared else apart
    apart = rows.new_empty(stop - start, len(rows))
    wide = rows.to(torch.float64, copy=True)
    wide -= wide.mean(0)
    squared_lengths = torch.linalg.vector_norm(wide, dim=-1).square_()
    rounding = 8 * torch.finfo(wide.dtype).eps * wide.shape[1] ** 0.5
    for first in range(start, stop, _BLOCK):
        block = slice(first, min(first + _BLOCK, stop))
        reach = squared_lengths[block, None] + squared_lengths
        squares = torch.addmm(reach, wide[block], wide.mT, alpha=-2)
        squares.masked_fill_(squares <= reach.mul_(rounding), 0)
        apart[block.start - start : block.stop - start] = squares if squared else squares.sqrt_()
    return apart


@_distances.register_fake
def _(rows: Tensor, start: int, stop: int, _squared: bool) -> Tensor:
    return rows.new_empty(stop - start, len(rows))


def _keep(ctx: Any, inputs: tuple[Tensor, int, int, bool], output: Tensor) -> None:
    rows, ctx.start, ctx.stop, ctx.squared = inputs
    ctx.save_for_backward(rows, *([] if ctx.squared else [output]))


def _pull(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
    """Σⱼ wᵢⱼ (xᵢ − xⱼ) for i and its negative for j, with w the gradient over the distance, or twice it."""
    rows, *apart = ctx.saved_tensors
    least = torch.finfo(rows.dtype).smallest_normal  # of what is nearer, 0 above all, no slope is told
    weights = gradient if ctx.squared else gradient / apart[0].masked_fill(apart[0] < least, torch.inf)
    rows = rows - rows.mean(0)
    some = rows[ctx.start : ctx.stop]
    ours = weights.sum(1).unsqueeze(-1) * some - product(weights, rows)
    with torch.autocast(rows.device.type, enabled=False):  # in place: each of these is as large as the rows
        pulled = (weights.sum(0).unsqueeze(-1) * rows).addmm_(weights.mT, some, alpha=-1)
    pulled[ctx.start : ctx.stop] += ours
    return pulled.mul_(2) if ctx.squared else pulled, None, None, None


_distances.register_autograd(_pull, setup_context=_keep)


def other_items(counts: Bool[Tensor, " items"], block: slice) -> Bool[Tensor, "some items"]:
    """True for pairs of a row of the block and another item, where both count.

    Example:
        >>> other_items(torch.tensor([True, True, False]), slice(1, 3)).int().tolist()
        [[1, 0, 0], [0, 0, 0]]
    """
    places = torch.arange(len(counts), device=counts.device)
    return counts[block, None] & counts & (places[block, None] != places)


def num_pairs(counts: Bool[Tensor, " items"]) -> Tensor:
    """How many ordered pairs of two different items count; 1 where none does, to divide by.

    Example:
        >>> num_pairs(torch.tensor([True, True, False, True])).item()
        6
    """
    number = counts.sum()
    return (number * (number - 1)).clamp(min=1)


def mean_distance(
    rows: Float[Tensor, "items channels"], counts: Bool[Tensor, " items"], *, squared: bool = False
) -> Float[Tensor, ""]:
    """The mean distance, or squared distance, over pairs of two different items that count; 1 where it is 0.

    What is so small that its inverse has no slope in this width counts as 0.

    Example:
        >>> mean_distance(torch.tensor([[0.0], [5.0], [9.0]]), torch.tensor([True, True, False]))
        tensor(5.)
    """
    weights = counts.to(rows.dtype)

    def total(block: slice, held: Tensor) -> Tensor:
        return product(product(distances(held, block, squared=squared), weights), weights[block])

    mean = sum_by_blocks(total, rows, items=len(rows)) / num_pairs(counts)
    return mean.masked_fill(mean < torch.finfo(mean.dtype).smallest_normal ** 0.5, 1)


def log_shares(
    scores: Float[Tensor, "items others"], pairs: Bool[Tensor, "items others"]
) -> Float[Tensor, "items others"]:
    """Log-softmax of each row over the pairs that count; the others have probability 0, and a finite log.

    A row without any pair is uniform, and has no gradient.

    Example:
        >>> log_shares(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[True, True, False]])).exp()
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    return scores.masked_fill(~pairs, LOWEST).log_softmax(-1)


def row_kl(
    first_log: Float[Tensor, "items others"], second_log: Float[Tensor, "items others"]
) -> Float[Tensor, " items"]:
    """KL(first ‖ second) in nats of each row of finite log-probabilities.

    Example:
        >>> row_kl(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log())
        tensor([0.1438])
    """
    return (first_log.exp() * (first_log - second_log)).sum(-1)
