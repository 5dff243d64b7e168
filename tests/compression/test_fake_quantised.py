"""Numbers worked out by hand for rounding with learned steps."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from tutelage.compression import settle
from tutelage.compression.fake_quantised import FakeQuantised, FakeQuantisedInput, round_inputs, steps_of

WEIGHT = [0.4, -0.9, 1.6]


def two_bits(first: float = 1.0) -> tuple[FakeQuantised, torch.Tensor]:
    """Numbers -2, -1, 0 and 1 steps; the weight in steps is always WEIGHT."""
    rounding = FakeQuantised(1, 2, bits=2, learned=True)
    rounding.first.fill_(first)
    return rounding, (torch.tensor([WEIGHT]) * first).requires_grad_()


def test_weights_lie_on_the_grid_and_the_gradient_passes_inside_it():
    rounding, weight = two_bits()
    rounded = rounding(weight)
    assert rounded.tolist() == [[0.0, -1.0, 1.0]]
    rounded.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 1.0, 0.0]]  # 1.6 lies outside


@pytest.mark.parametrize("first", [1.0, 0.25])
def test_a_step_moves_as_in_the_paper_under_gradient_descent(first: float):
    """Inside ⌊v⌉ - v, above it high: (0 - 0.4) + (-1 + 0.9) + 1 = 0.5, times g = 1 / √(3 · 1)."""
    rounding, weight = two_bits(first)
    rounding(weight).sum().backward()
    assert rounding.ratio.grad is not None
    moved = first * rounding.ratio.grad.item()  # of the step, at a rate of 1
    assert moved == pytest.approx(0.5 / math.sqrt(3), rel=1e-5)


def test_first_steps_come_from_the_mean_size_of_each_channel():
    rounding = FakeQuantised(2, 2, bits=4, learned=True)
    rounding.begin(torch.tensor([[1.0, -3.0], [0.5, 0.5]]))  # means 2 and 0.5, high 7
    assert rounding.first.flatten().tolist() == pytest.approx([4 / math.sqrt(7), 1 / math.sqrt(7)])


def test_steps_by_the_range_follow_the_largest_weight():
    rounding = FakeQuantised(1, 2, bits=4, learned=False)
    weight = torch.tensor([[0.7, -0.26, 0.04]], requires_grad=True)
    assert rounding(weight)[0].tolist() == pytest.approx([0.7, -0.3, 0.0])  # steps of 0.1
    assert not list(rounding.parameters())


def test_inputs_after_a_relu_begin_at_zero():
    rounding = FakeQuantisedInput(bits=2, unsigned=True)
    rounding.begin(1.5)  # 2 · 1.5 / √3
    step = 3 / math.sqrt(3)
    assert rounding.first.item() == pytest.approx(step)
    found = rounding(torch.tensor([[-1.0, 0.9 * step, 9.0]]))
    assert found[0].tolist() == pytest.approx([0.0, step, 3 * step])


def rounded_layer() -> nn.Linear:
    layer = nn.Linear(3, 2)
    rounding = FakeQuantised(2, 2, bits=2, learned=True)
    parametrize.register_parametrization(layer, "weight", rounding)
    rounding.begin(layer.parametrizations.weight.original)
    return layer


def test_a_layer_that_rounds_is_copied_with_its_rounding():
    layer = rounded_layer()
    rounding = FakeQuantisedInput(bits=2, unsigned=False)
    rounding.begin(1.0)
    round_inputs(layer, rounding)
    other, rows = copy.deepcopy(layer), torch.randn(4, 3)
    assert torch.equal(other(rows), layer(input=rows))
    other.rounding.first.fill_(0.1)
    assert not torch.equal(other(rows), layer(rows))


def test_a_copy_is_settled_without_its_original():
    layer, rows = rounded_layer(), torch.randn(4, 3)
    before = layer(rows)
    plain = settle(copy.deepcopy(layer))
    assert set(plain.state_dict()) == {"weight", "bias"}
    assert type(plain) is nn.Linear
    torch.testing.assert_close(plain(rows), before, rtol=0, atol=0)
    assert torch.equal(layer(rows), before)
    (grid,) = steps_of(nn.Sequential(layer)).values()
    assert grid.bits == 2
    torch.testing.assert_close(torch.from_numpy(grid.weight), plain.weight.detach())
