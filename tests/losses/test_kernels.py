"""Rows about their mean."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.kernels import about_mean, centred


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e4 / 3, -7e-5])
def test_what_does_not_vary_is_exactly_zero(value):
    for items in range(1, 40):
        rows = torch.full((items, 3), value)
        assert (centred(rows, torch.ones(items, dtype=torch.bool)) == 0).all()


def test_items_that_do_not_count_are_not_in_the_mean():
    rows = torch.tensor([[1.0, 5.0], [0.0, 0.0], [3.0, 1.0]])
    found = centred(rows, torch.tensor([True, False, True]))
    assert found.tolist() == [[-1.0, 2.0], [0.0, 0.0], [1.0, -2.0]]


def test_nothing_to_centre():
    assert centred(torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool)).shape == (0, 3)


@pytest.mark.parametrize("value", [0.1, 3.3, 1e3 + 0.1, -7e-5, 0.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_values_that_differ_by_rounding_are_exactly_zero_and_keep_a_gradient(value, noise):
    eps = torch.finfo(torch.float32).eps
    for number in (1, 3, 10, 33, 100, 1000):
        generator = torch.Generator().manual_seed(number)
        rows = value * (1 + noise * eps * torch.randn(2, number, generator=generator).clamp(-2, 2))
        rows.requires_grad_()
        found = about_mean(rows)
        assert (found == 0).all()
        (slope,) = torch.autograd.grad((found * torch.arange(number)).sum(), rows)
        expected = torch.arange(number) - (number - 1) / 2
        torch.testing.assert_close(slope, expected.expand(2, number), atol=1e-3, rtol=1e-5)


def test_values_that_vary_lose_their_mean_and_nothing_else():
    rows = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(about_mean(rows), rows - rows.mean(-1, keepdim=True))
    counts = torch.tensor([True, False, True, True, False, True, True])
    found = about_mean(rows, counts)
    torch.testing.assert_close(found[:, counts], about_mean(rows[:, counts]))
    assert (found[:, ~counts] == 0).all()
    assert (about_mean(rows, torch.zeros(7, dtype=torch.bool)) == 0).all()
    assert about_mean(torch.tensor([[1.0, torch.inf, 2.0]])).isnan().any()  # not equal, and not hidden
