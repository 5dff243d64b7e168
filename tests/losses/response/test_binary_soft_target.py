"""Binary soft targets."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import BinarySoftTarget


def test_by_hand():
    q, p = 0.9, 0.6
    expected = 4 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    student, teacher = (2 * torch.tensor([[math.log(x / (1 - x))]]) for x in (q, p))
    assert BinarySoftTarget(temperature=2.0)(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_classes_do_not_compete():
    student, teacher = torch.tensor([[3.0, 3.0, -3.0]]), torch.tensor([[3.0, 3.0, 5.0]])
    student.requires_grad_()
    BinarySoftTarget()(student, teacher).backward()
    torch.testing.assert_close(student.grad[0, :2], torch.zeros(2), atol=1e-7, rtol=0)


@pytest.mark.parametrize("sure", [-torch.inf, torch.inf])
def test_certainty_that_both_share_adds_nothing(sure):
    student, teacher = torch.tensor([[0.5, sure]], requires_grad=True), torch.tensor([[1.5, sure]])
    value = BinarySoftTarget()(student, teacher)
    torch.testing.assert_close(value, BinarySoftTarget()(student[:, :1], teacher[:, :1]))
    value.backward()
    assert student.grad[0, 1] == 0
    assert BinarySoftTarget()(torch.tensor([[sure]]), torch.tensor([[0.0]])) == torch.inf
