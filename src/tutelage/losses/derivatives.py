"""Gradients taken in the forward pass already, which have no derivative of their own.

Where a sum is too large to hold, its gradient is added up as it goes and nothing else is kept. To autograd
such a gradient is a constant: a second derivative through it would be wrong, and nobody would say so. Torch's
`once_differentiable` says so only where the gradient that comes in has one. Here whoever asks is told.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["first_only", "traces"]


def traces(*inputs: Tensor | None) -> tuple[Tensor, ...]:
    """An empty tensor for each input that has a gradient: autograd knows whence it came, memory does not.

    Args:
        inputs: what a function is differentiated by; None is left out.

    Example:
        >>> rows = torch.ones(2, 3, requires_grad=True)
        >>> [held.shape for held in traces(rows, None, torch.ones(4))]
        [torch.Size([0, 2, 3])]
    """
    if torch.compiler.is_compiling():
        return ()
    return tuple(held.unsqueeze(0)[:0].clone() for held in inputs if held is not None and held.requires_grad)


def first_only(
    gradients: tuple[Shaped[Tensor, "..."] | None, ...], *sources: Tensor
) -> tuple[Tensor | None, ...]:
    """The gradients as they are; their derivative by one of the sources is refused once it is asked for.

    Args:
        gradients: what a backward pass gives; None where nothing is wanted.
        sources: the gradient that came in, and the `traces` of the inputs.

    Raises:
        NotImplementedError: a second derivative was asked for, in the backward pass that asks.
    """
    if not torch.is_grad_enabled():
        return gradients
    return tuple(
        None if held is None else _FirstOnly.apply(held, *sources)  # type: ignore[no-untyped-call]
        for held in gradients
    )


class _FirstOnly(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, gradient: Tensor, *_sources: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(_ctx: Any, _gradient: Tensor) -> tuple[Tensor | None, ...]:
        raise NotImplementedError(
            "a second derivative was asked for, and this loss has a first one only: it works through blocks "
            "of items or of classes, and keeps of each its gradient alone. Ask for it on fewer items, or "
            "give whole logits of student and teacher"
        )
