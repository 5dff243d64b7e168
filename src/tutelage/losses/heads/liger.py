"""Liger's kernel: another way to the divergence of two heads on a GPU.

`pip install 'tutelage[liger]'` brings it. It holds more rows at a time than ours, so it may be faster and
takes more memory; `fastest` finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.derivatives import first_only, traces
from tutelage.losses.heads.compare import check_answers, unmasked
from tutelage.losses.heads.sides import Side
from tutelage.types import HeadLogits

__all__ = ["compare_with_liger", "liger_can"]


def liger_can(student: HeadLogits, teacher: HeadLogits) -> bool:
    """Whether the kernel is here and knows such heads.

    They are on a CUDA device, plain (no bias, no cap, equal scales), over as many classes, and not in
    float64. Where PyTorch was told to be deterministic, a choice by time is none.
    """
    plain = all(head.bias is None and head.cap is None for head in (student, teacher))
    alike = student.scale == teacher.scale and student.shape == teacher.shape
    kinds = {student.hidden.dtype, student.weight.dtype, teacher.hidden.dtype, teacher.weight.dtype}
    if not (plain and alike) or torch.float64 in kinds or student.hidden.device.type != "cuda":
        return False
    return _is_here() and not (torch.are_deterministic_algorithms_enabled() or torch.compiler.is_compiling())


def compare_with_liger(
    student: HeadLogits,
    teacher: HeadLogits,
    between: float,
    *,
    temperature: float = 1.0,
    mask: Bool[Tensor, "*masked"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of a divergence between softened answers, by Liger's kernel.

    Args:
        student: what the logits are computed from, such as `liger_can` allows.
        teacher: likewise; no gradient reaches it.
        between: 0 for the forward KL, 1 for the reverse one, β in between for the Jensen–Shannon divergence.
        temperature: divides the logits of both.
        mask: true where an item counts; None when all of them do.

    Shapes: hidden [*items, width] and weight [classes, width] twice, mask the first axes of the items -> a
    scalar. It is 0, with a zero gradient, when no item counts.

    Raises:
        ValueError: shapes differ, or the mask does not fit.

    Source: Hsu et al., Liger Kernel: Efficient Triton Kernels for LLM Training, 2024, whose
    `LigerFusedLinearJSD` it calls. Difference: gradients can be asked for more than once.
    """
    rows, count = unmasked(mask, check_answers(student, teacher))
    kept = slice(None) if rows is None else rows
    if not count:
        return 0.0 * (student.hidden.sum() + student.weight.sum())
    kernel = _kernel(between, temperature / student.scale)
    ours, theirs = Side.of(student), Side.of(teacher)
    assert ours.weight is not None
    hidden = student.hidden.flatten(0, -2)[kept].to(ours.weight.dtype)
    known = theirs.hidden(kept), theirs.weight
    with torch.autocast(hidden.device.type, enabled=False):
        inputs = hidden, student.weight.to(ours.weight.dtype)
        value: Tensor = _Kept.apply(kernel, *inputs, *known, *traces(*inputs))  # type: ignore[no-untyped-call]
    return value


class _Kept(torch.autograd.Function):
    """The kernel's value; its gradients are taken at once and kept: its backward pass overwrites them."""

    @staticmethod
    def forward(
        ctx: Any, kernel: Callable[..., Tensor], hidden: Tensor, weight: Tensor, *held: Tensor
    ) -> Tensor:
        known, others = held[:2], held[2:]
        wanted = ctx.needs_input_grad[1:3]
        leaves = hidden.detach().requires_grad_(wanted[0]), weight.detach().requires_grad_(wanted[1])
        with torch.enable_grad():
            value = kernel(*leaves, *known, None)
        found = iter(torch.autograd.grad(value, [leaf for leaf in leaves if leaf.requires_grad]))
        ctx.save_for_backward(*(next(found) if want else None for want in wanted), *others)
        return value.detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sums, others = ctx.saved_tensors[:2], ctx.saved_tensors[2:]
        with torch.no_grad():
            kept = tuple(None if held is None else held * gradient.to(held.dtype) for held in sums)
        return None, *first_only(kept, gradient, *others), None, None, *[None] * len(others)


@cache
def _is_here() -> bool:
    return all(find_spec(name) for name in ("liger_kernel", "triton"))


@cache
def _kernel(between: float, temperature: float) -> Callable[..., Tensor]:
    from liger_kernel.transformers.fused_linear_jsd import LigerFusedLinearJSD

    found: Callable[..., Tensor] = LigerFusedLinearJSD(
        jsd_beta=between, temperature=temperature, accum_dtype=torch.float32
    )
    return found
