"""Gradients that have no derivative of their own say so, and cost no memory for it."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.derivatives import first_only, traces


class Summed(torch.autograd.Function):
    """The sum of squares, its gradient taken in the forward pass."""

    @staticmethod
    def forward(ctx, rows, *others):
        ctx.save_for_backward(2 * rows, *others)
        return rows.square().sum()

    @staticmethod
    def backward(ctx, gradient):
        slope, *others = ctx.saved_tensors
        with torch.no_grad():
            found = (slope * gradient,)
        return *first_only(found, gradient, *others), *[None] * len(others)


def test_who_asks_for_a_second_derivative_is_told():
    rows = torch.ones(3, requires_grad=True)
    value = Summed.apply(rows, *traces(rows))
    (slope,) = torch.autograd.grad(value, rows, create_graph=True)
    torch.testing.assert_close(slope, torch.full((3,), 2.0))
    # beside another term, which has one, autograd alone would say nothing
    with pytest.raises(NotImplementedError, match="has a first one only"):
        torch.autograd.grad((slope + rows.square()).sum(), rows)


def test_a_first_derivative_is_what_it_was():
    rows = torch.ones(3, requires_grad=True)
    (3 * Summed.apply(rows, *traces(rows))).backward()
    assert rows.grad.tolist() == [6, 6, 6]


def test_a_trace_holds_no_memory_of_what_it_comes_from():
    rows, scalar = torch.ones(5, 2, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    found = traces(rows * 1, None, torch.ones(3), scalar)
    assert [held.numel() for held in found] == [0, 0]
    assert all(held.untyped_storage().nbytes() == 0 for held in found)
