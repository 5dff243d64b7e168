"""What losses over pairs share: exact distances, their gradient, and products under autocast."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses import pairs
from tutelage.losses.pairs import directions, distances, lengths, log_shares, mean_distance, product, row_kl


def rows(items: int = 7, channels: int = 3, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(items, channels, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("squared", [False, True])
def test_distances_and_their_gradient_are_those_of_the_definition(squared):
    x = rows().requires_grad_()
    weights = rows(7, 7)
    apart = (x[:, None] - x[None, :]).square().sum(-1)
    if not squared:
        apart = torch.where(torch.eye(7, dtype=torch.bool), 1, apart).sqrt() * (1 - torch.eye(7))
    found = distances(x, squared=squared)
    torch.testing.assert_close(found, apart)
    ours, theirs = (torch.autograd.grad((held * weights).sum(), x)[0] for held in (found, apart))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("squared", [False, True])
def test_distances_have_a_second_derivative(squared):
    assert torch.autograd.gradgradcheck(lambda x: distances(x, squared=squared), rows(4).requires_grad_())


def test_equal_rows_are_exactly_0_apart_with_no_gradient():
    x = (1e3 + rows(1, 700, torch.float32)).repeat(5, 1).requires_grad_()
    apart = distances(x)
    assert (apart == 0).all()
    assert (torch.autograd.grad(apart.sum(), x)[0] == 0).all()


def test_near_rows_far_from_the_origin_keep_their_digits():
    offset = 1e4 + rows(1, 64, torch.float32)
    x = torch.cat([offset, offset + 2**-6, offset + 300.0]).requires_grad_()
    apart = distances(x)
    assert apart[0, 1].item() == pytest.approx(
        (x.detach().double()[0] - x.detach().double()[1]).norm().item()
    )
    gradient = torch.autograd.grad(apart[0, 1], x)[0]
    assert gradient.norm(dim=1).tolist() == pytest.approx([1, 1, 0], rel=1e-2, abs=1e-6)


@pytest.mark.parametrize("channels", [3, 2048])
@pytest.mark.parametrize(("near", "tolerance"), [(1.0, 1e-7), (1e-2, 1e-7), (1e-4, 1e-6), (1e-6, 1e-2)])
def test_digits_of_near_rows(near, tolerance, channels):
    base, away = (rows(16, channels, torch.float32) + 3, rows(17, channels, torch.float32)[1:])
    x = torch.cat([base, base + near * away])
    expected = (x[:16].double() - x[16:].double()).norm(dim=1)
    torch.testing.assert_close(distances(x)[:16, 16:].diagonal().double(), expected, rtol=tolerance, atol=0)


def test_more_rows_than_a_block(monkeypatch):
    x = rows(11)
    whole = distances(x)
    monkeypatch.setattr(pairs, "_BLOCK", 4)
    torch.testing.assert_close(distances(x), whole)


def test_a_zero_vector_stays_zero():
    x = torch.zeros(2, 3, requires_grad=True)
    found = directions(x)
    assert (found == 0).all()
    assert torch.autograd.grad(found.sum(), x)[0].isfinite().all()


def test_what_does_not_count_is_no_part_of_a_mean():
    x, counts = torch.tensor([[0.0], [1.0], [3.0], [0.0]]), torch.tensor([True, True, True, False])
    assert mean_distance(x, counts) == 2
    assert mean_distance(x, counts, squared=True).item() == pytest.approx((1 + 9 + 4) / 3)
    assert mean_distance(torch.ones(4, 1), counts) == 1


def test_shares_leave_out_what_does_not_count_even_where_nothing_does():
    scores = torch.tensor([[3.0, 9.0, 3.0], [1.0, 2.0, 3.0]], requires_grad=True)
    counts = torch.tensor([[True, False, True], [False, False, False]])
    logs = log_shares(scores, counts)
    torch.testing.assert_close(logs.exp(), torch.tensor([[0.5, 0.0, 0.5], [1 / 3, 1 / 3, 1 / 3]]))
    values = row_kl(logs, log_shares(torch.zeros(2, 3), counts))
    torch.testing.assert_close(values, torch.zeros(2))
    gradient = torch.autograd.grad(values.sum(), scores)[0]
    assert gradient.isfinite().all()
    assert (gradient[~counts] == 0).all()


def test_products_keep_their_width_under_autocast():
    x = rows(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = product(x, x.mT)
    torch.testing.assert_close(found, x @ x.mT, rtol=1e-6, atol=1e-6)


def test_a_zero_vector_has_a_direction_and_a_length_of_zero_with_all_derivatives():
    x = rows(4)
    x[1] = 0
    x.requires_grad_()
    for function, at_zero in ((directions, 1.0), (lengths, 0.0)):
        found = function(x)
        assert (found[1] == 0).all()
        (slope,) = torch.autograd.grad(found.sum(), x, create_graph=True)
        assert (slope[1] == at_zero).all()
        (second,) = torch.autograd.grad(slope.square().sum(), x)
        assert second.isfinite().all()
        assert (second[1] == 0).all()


def test_what_is_too_small_to_have_a_slope_has_none():
    x = (1e-44 * rows(5, dtype=torch.float64)).float().requires_grad_()
    (slope,) = torch.autograd.grad(distances(x).sum() / mean_distance(x, torch.ones(5, dtype=bool)), x)
    assert slope.isfinite().all()
