"""A sum over rows of logits, some rows at a time, with its gradient.

Value and gradient of a chunk are computed together in the forward pass, and only the gradient stays: that of
the logits, or, where these are not computed yet, of what goes into the last linear layer, of its weight and
of its bias. The backward pass scales them; no derivative of a derivative can be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.losses.reduction import widen
from tutelage.types import HeadLogits

__all__ = ["Compare", "Logits", "Rows", "Side", "mean_of_rows"]

Logits = Tensor | HeadLogits
Rows = slice | Tensor
Compare = Callable[[Tensor, Rows], tuple[Tensor, Tensor]]
"""(the student's log-probabilities of some rows, which it may overwrite; which rows) -> a number for each of
these rows, and its gradient by what the softmax was taken of."""

CHUNK_BYTES = 2**25
"""What the logits of a chunk take where no size is given."""


def mean_of_rows(
    student: Logits,
    compare: Compare,
    rows: Tensor | None,
    count: int | Tensor,
    *,
    temperature: float = 1.0,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Σ over rows of what `compare` says, divided by a count.

    Args:
        student: logits, or what they are computed from.
        compare: the number of each row and its gradient.
        rows: which rows to compute, of the items laid end to end; None for all.
        count: the denominator; 0 counts as 1.
        temperature: divides the logits.
        chunk_size: rows to hold at a time; None for as many as fit into some tens of megabytes.

    Shapes: student [*items, classes], rows [some] -> a scalar.
    """
    side = Side.of(student, temperature)
    held = range(len(side.rows) if rows is None else len(rows))
    size = chunk_size or max(CHUNK_BYTES // (4 * max(student.shape[-1], 1)), 1)
    chunks: list[Rows] = [slice(start, min(start + size, len(held))) for start in held[::size]]
    plan = _Plan(side, compare, chunks if rows is None else [rows[chunk] for chunk in chunks])
    rows_of, *weights = (student, None, None) if isinstance(student, Tensor) else _inputs(student)
    with torch.autocast(side.rows.device.type, enabled=False):
        total: Tensor = _Chunks.apply(plan, rows_of.flatten(0, -2), *weights)  # type: ignore[no-untyped-call]
    return total / max(count, 1) if isinstance(count, int) else total / count.clamp(min=1)


def _inputs(head: HeadLogits) -> tuple[Tensor, Tensor, Tensor | None]:
    return head.hidden, head.weight, head.bias


@dataclass(frozen=True, slots=True)
class Side:
    """One side's answers, some rows at a time, without gradient."""

    rows: Tensor
    temperature: float
    weight: Tensor | None = None
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, logits: Logits, temperature: float) -> Side:
        """Of logits, or of what they are computed from, as autocast would have it."""
        if isinstance(logits, Tensor):
            return cls(logits.detach().flatten(0, -2), temperature)
        held = logits.detach()
        weight = _as_multiplied(held.weight)
        bias = None if held.bias is None else _as_multiplied(held.bias)
        return cls(held.hidden.flatten(0, -2), temperature, weight, bias, held.scale, held.cap)

    def hidden(self, some: Rows) -> Tensor:
        """What goes into the layer, as it is multiplied there."""
        assert self.weight is not None
        return self.rows[some].to(self.weight.dtype)

    def log_probs(self, some: Rows) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities, in memory of their own, and tanh of what was capped, if it was."""
        if self.weight is None:
            logits = widen(self.rows[some])
            return (logits if self.temperature == 1 else logits / self.temperature).log_softmax(-1), None
        logits = widen(F.linear(self.hidden(some), self.weight, self.bias))
        if self.scale != 1:
            logits.mul_(self.scale)
        tanh = None if self.cap is None else logits.div_(self.cap).tanh_()
        logits = logits if self.cap is None else logits * self.cap
        if self.temperature != 1:
            logits.div_(self.temperature)
        return logits.log_softmax(-1), tanh


def _as_multiplied(tensor: Tensor) -> Tensor:
    """What autocast makes of a linear layer's weights."""
    device = tensor.device.type
    if not torch.is_autocast_enabled(device) or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))


@dataclass(frozen=True, slots=True)
class _Plan:
    side: Side
    compare: Compare
    chunks: list[Rows]


class _Chunks(torch.autograd.Function):
    """Sum over rows; the gradients kept are those of the sum, before it is multiplied by anything."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, rows: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        side, inputs = plan.side, (rows, weight, bias)
        wanted = ctx.needs_input_grad[1:]
        sums = [
            _zeros(held, number) if want else None
            for number, (held, want) in enumerate(zip(inputs, wanted, strict=True))
        ]
        total = torch.zeros((), dtype=widen(rows[:0]).dtype, device=rows.device)
        for some in plan.chunks:
            log_probs, tanh = side.log_probs(some)
            values, gradient = plan.compare(log_probs, some)
            del log_probs
            total = total + values.sum()
            if any(wanted):
                _add_(sums, side, some, gradient if tanh is None else _through_(tanh, gradient))
            del gradient, tanh
        ctx.factor = side.scale / side.temperature
        ctx.dtypes = [None if held is None else held.dtype for held in inputs]
        ctx.save_for_backward(*sums)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        factor = gradient * ctx.factor
        sums = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return None, *(None if held is None else (held * factor).to(dtype) for held, dtype in sums)


def _zeros(held: Tensor | None, number: int) -> Tensor:
    """Room for the gradient of the rows (0), or for a sum over rows, which is taken in float32 or wider."""
    assert held is not None
    dtype = held.dtype if number == 0 else torch.promote_types(held.dtype, torch.float32)
    return torch.zeros(held.shape, dtype=dtype, device=held.device)


def _add_(sums: list[Tensor | None], side: Side, some: Rows, gradient: Tensor) -> None:
    """Send the gradient of some rows' logits on, to the rows, the weight and the bias."""
    rows, weight, bias = sums
    if side.weight is None:
        assert rows is not None
        rows[some] = gradient.to(rows.dtype)
        return
    if bias is not None:
        bias += gradient.sum(0)
    gradient = gradient.to(side.weight.dtype)
    if rows is not None:
        rows[some] = (gradient @ side.weight).to(rows.dtype)
    if weight is not None and weight.dtype == gradient.dtype:
        weight.addmm_(gradient.mT, side.hidden(some))
    elif weight is not None:
        weight += gradient.mT @ side.hidden(some)


def _through_(tanh: Tensor, gradient: Tensor) -> Tensor:
    """The gradient before soft-capping: times 1 − tanh²."""
    return gradient.mul_(tanh.square_().neg_().add_(1))
