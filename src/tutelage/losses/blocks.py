"""Sums over rows of items, a block of rows at a time.

A loss over all pairs of items is a sum over the rows of a matrix [items, items]. Of a large batch a block of
rows is enough to hold: each block's value and gradient are computed together in the forward pass, and only
the gradient stays. That costs no second pass, as recomputing in the backward would; but no derivative of a
derivative can be taken, and one that is asked for raises NotImplementedError. A batch that fits is one block,
under torch's own differentiation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from tutelage.losses.derivatives import first_only, traces

__all__ = ["sum_by_blocks"]

WHOLE = 1024
"""So many items are one block."""

ROWS = 128
"""The rows of a block of more items."""


def sum_by_blocks(
    function: Callable[..., Tensor], *tensors: Shaped[Tensor, "..."], items: int
) -> Float[Tensor, ""]:
    """Σ over blocks of `function(block, *tensors)`.

    Args:
        function: (a slice of the rows, the tensors) -> a scalar; gradient reaches the tensors alone, and not
            what the function holds besides.
        tensors: what it is differentiated by.
        items: how many rows there are.

    Shapes: tensors of any shape -> a scalar.

    Raises:
        NotImplementedError: a second derivative of more than one block was asked for.

    Example:
        >>> rows = torch.tensor([[1.0], [2.0], [3.0]])
        >>> sum_by_blocks(lambda block, held: (held[block] @ held.mT).sum(), rows, items=3)
        tensor(36.)
    """
    if items <= WHOLE or torch.compiler.is_compiling():
        return function(slice(0, items), *tensors)
    total: Tensor = _Blocks.apply(  # type: ignore[no-untyped-call]
        function, items, len(tensors), *tensors, *traces(*tensors)
    )
    return total


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], items: int, number: int, *held: Tensor) -> Tensor:
        tensors, wanted = held[:number], ctx.needs_input_grad[3 : 3 + number]
        leaves = [t.detach().requires_grad_(want) for t, want in zip(tensors, wanted, strict=True)]
        moved = [leaf for leaf in leaves if leaf.requires_grad]
        sums = [torch.zeros_like(leaf) for leaf in moved]
        total: Tensor | float = 0.0
        for start in range(0, items, ROWS):
            with torch.set_grad_enabled(bool(moved)):
                part = function(slice(start, min(start + ROWS, items)), *leaves)
            if moved:
                for summed, gradient in zip(sums, torch.autograd.grad(part, moved), strict=True):
                    summed += gradient
            total = total + part.detach()
        ctx.wanted, ctx.others = wanted, len(held) - number
        ctx.save_for_backward(*sums, *held[number:])
        assert isinstance(total, Tensor)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        held = iter(ctx.saved_tensors)
        with torch.no_grad():
            found = tuple(next(held) * gradient if want else None for want in ctx.wanted)
        return None, None, None, *first_only(found, gradient, *held), *[None] * ctx.others
