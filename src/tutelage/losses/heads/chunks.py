"""A sum over rows of logits, some rows at a time, with its gradient.

Value and gradient of a chunk are computed together in the forward pass, and only the gradient stays: that of
the logits, or, where these are not computed yet, of what goes into the last linear layer, of its weight and
of its bias. The backward pass scales them; no derivative of a derivative can be taken, and one that is asked
for raises NotImplementedError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tutelage.losses.derivatives import first_only, traces
from tutelage.losses.heads.sides import Logits, Rows, Side
from tutelage.losses.reduction import widen
from tutelage.types import HeadLogits

__all__ = ["Compare", "Part", "mean_of_parts", "mean_of_rows"]

Compare = Callable[[Tensor, Rows], tuple[Tensor, Tensor]]
"""(the student's log-probabilities of some rows, which it may overwrite; which rows) -> a number for each of
these rows, and its gradient by what the softmax was taken of, in memory of its own."""

CHUNK_BYTES = 2**25
"""What the logits of a chunk take where no size is given."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of several comparisons that read the same logits.

    Args:
        compare: the number of each row and its gradient.
        temperature: divides the logits.
        factor: multiplies the numbers; above 0.
    """

    compare: Compare
    temperature: float = 1.0
    factor: float = 1.0

    @property
    def rate(self) -> float:
        """What multiplies the gradient that `compare` gives, for that by the logits."""
        return self.factor / self.temperature


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
    return mean_of_parts(student, [Part(compare, temperature)], rows, count, chunk_size=chunk_size)


def mean_of_parts(
    student: Logits,
    parts: Sequence[Part],
    rows: Tensor | None,
    count: int | Tensor,
    *,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Σ over rows of what several comparisons say together, divided by a count.

    The logits of a chunk are computed once, and so is what their gradient is multiplied by. Parts of unequal
    temperatures each take a softmax of their own and one more buffer, of chunks that are smaller for it.

    Args:
        student: logits, or what they are computed from.
        parts: what is added up; one at least.
        rows: which rows to compute, of the items laid end to end; None for all.
        count: the denominator; 0 counts as 1.
        chunk_size: rows to hold at a time; None for as many as fit into some tens of megabytes.

    Shapes: student [*items, classes], rows [some] -> a scalar.
    """
    side = Side.of(student)
    held = range(len(side.rows) if rows is None else len(rows))
    size = chunk_size or _rows_of_a_chunk(student.shape[-1], len(parts))
    chunks: list[Rows] = [slice(start, min(start + size, len(held))) for start in held[::size]]
    plan = _Plan(side, tuple(parts), chunks if rows is None else [rows[chunk] for chunk in chunks])
    rows_of, *weights = (student, None, None) if isinstance(student, Tensor) else _inputs(student)
    inputs = (rows_of.flatten(0, -2), *weights)
    with torch.autocast(side.rows.device.type, enabled=False):
        total: Tensor = _Chunks.apply(plan, *inputs, *traces(*inputs))  # type: ignore[no-untyped-call]
    return total / max(count, 1) if isinstance(count, int) else total / count.clamp(min=1)


def _rows_of_a_chunk(classes: int, parts: int) -> int:
    """As many as keep the peak: two buffers of a chunk live at least, and one more for each further part."""
    return max(2 * CHUNK_BYTES // (1 + parts) // (4 * max(classes, 1)), 1)


def _inputs(head: HeadLogits) -> tuple[Tensor, Tensor, Tensor | None]:
    return head.hidden, head.weight, head.bias


@dataclass(frozen=True, slots=True)
class _Plan:
    side: Side
    parts: tuple[Part, ...]
    chunks: list[Rows]

    @property
    def rate(self) -> float:
        """What multiplies all gradients at the end; nothing that is added up before is larger than this."""
        return max(part.rate for part in self.parts)

    def compare(self, some: Rows) -> tuple[Tensor, Tensor, Tensor | None]:
        """The sum over some rows, its gradient by their logits over `rate`, and tanh of what was capped."""
        logits, tanh = self.side.logits(some)
        total: Tensor | float = 0.0
        gradient: Tensor | None = None
        for number, part in enumerate(self.parts, start=1):
            last = number == len(self.parts)
            log_probs = self.side.softened(logits, part.temperature, last=last)
            if last:
                del logits
            values, slope = part.compare(log_probs, some)
            del log_probs
            if part.rate != self.rate:
                slope.mul_(part.rate / self.rate)
            gradient = slope if gradient is None else gradient.add_(slope)
            total = total + values.sum() * part.factor
        assert isinstance(total, Tensor)
        assert gradient is not None
        return total, gradient, tanh


class _Chunks(torch.autograd.Function):
    """Sum over rows; the gradients kept are those of the sum, before it is multiplied by anything."""

    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, rows: Tensor, weight: Tensor | None, bias: Tensor | None, *others: Tensor
    ) -> Tensor:
        side, inputs = plan.side, (rows, weight, bias)
        wanted = ctx.needs_input_grad[1:4]
        sums = [
            _zeros(held, number) if want else None
            for number, (held, want) in enumerate(zip(inputs, wanted, strict=True))
        ]
        total = torch.zeros((), dtype=widen(rows[:0]).dtype, device=rows.device)
        for some in plan.chunks:
            value, gradient, tanh = plan.compare(some)
            total = total + value
            if any(wanted):
                _add_(sums, side, some, gradient if tanh is None else _through_(tanh, gradient))
            del gradient, tanh
        ctx.factor = side.scale * plan.rate
        ctx.dtypes = [None if held is None else held.dtype for held in inputs]
        ctx.save_for_backward(*sums, *others)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sums, others = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        with torch.no_grad():
            factor = gradient * ctx.factor
            both = zip(sums, ctx.dtypes, strict=True)
            found = tuple(None if held is None else _scaled(held, factor, dtype) for held, dtype in both)
        return None, *first_only(found, gradient, *others), *[None] * len(others)


def _zeros(held: Tensor | None, number: int) -> Tensor:
    """Room for the gradient of the rows (0), or for a sum over rows, which is taken in float32 or wider."""
    assert held is not None
    dtype = held.dtype if number == 0 else torch.promote_types(held.dtype, torch.float32)
    return torch.zeros(held.shape, dtype=dtype, device=held.device)


def _scaled(held: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """A sum times a factor, in the dtype of what it is the gradient of; never twice there in a wider one."""
    if held.dtype == dtype:
        return held * factor
    found = torch.empty_like(held, dtype=dtype)
    size = max(CHUNK_BYTES // (held.element_size() * max(held[:1].numel(), 1)), 1)
    for some, wide in zip(torch.split(found, size), torch.split(held, size), strict=True):
        some.copy_(wide * factor)
    return found


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
