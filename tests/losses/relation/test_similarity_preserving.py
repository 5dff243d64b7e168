"""SP: worked Gram matrices, and what they do not see."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.relation import SimilarityPreserving


def test_by_hand():
    student, teacher = [[1.0, 2.0], [2.0, 0.0]], [[3.0], [1.0]]
    # Gram matrices (5, 2; 2, 4) and (9, 3; 3, 1), rows to unit length
    ours = [5 / 29**0.5, 2 / 29**0.5, 2 / 20**0.5, 4 / 20**0.5]
    theirs = [9 / 90**0.5, 3 / 90**0.5, 3 / 10**0.5, 1 / 10**0.5]
    expected = sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)) / 2**2
    found = SimilarityPreserving()(torch.tensor(student), torch.tensor(teacher))
    assert found.item() == pytest.approx(expected)


def test_turned_and_scaled_features_cost_nothing():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(6, 5, dtype=torch.float64, generator=generator)
    turn = torch.linalg.qr(torch.randn(8, 8, dtype=torch.float64, generator=generator)).Q[:5]
    assert SimilarityPreserving()(30 * teacher @ turn, teacher).item() == pytest.approx(0, abs=1e-20)
    assert SimilarityPreserving()(teacher + 5, teacher).item() > 1e-3


def test_a_dead_example_stays_zero_and_can_wake():
    student, teacher = torch.ones(3, 2), torch.eye(3)
    student[1] = 0
    student.requires_grad_()
    loss = SimilarityPreserving()(student, teacher)
    # rows (1, 0, 1)/√2 twice and 0 once, against the identity
    assert loss.item() == pytest.approx((2 * ((1 - 0.5**0.5) ** 2 + 0.5) + 1) / 9)
    gradient = torch.autograd.grad(loss, student)[0]
    assert gradient.isfinite().all()


def test_never_more_than_4_by_the_number_of_examples():
    student, teacher = torch.eye(8), torch.ones(8, 1)
    teacher[::2] *= -1
    assert SimilarityPreserving()(student, teacher).item() <= 4 / 8


def test_nothing_is_lost_under_autocast():
    student, teacher = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = SimilarityPreserving()(student, teacher)
    torch.testing.assert_close(found, SimilarityPreserving()(student, teacher))


def test_masked_and_dead_examples_have_a_second_derivative():
    student, teacher = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    student[3] = 0
    student.requires_grad_()
    mask = torch.tensor([True, False, True, True, True])
    (slope,) = torch.autograd.grad(SimilarityPreserving()(student, teacher, mask), student, create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), student)
    assert second.isfinite().all()
    assert (second[1] == 0).all()
    assert second[0].abs().sum() > 0
