"""Soft labels: a hand-worked value, the same as a hard label where one class has all."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import HardLabel, SoftLabel


def test_by_hand():
    student = torch.tensor([[math.log(3), 0.0]])  # probabilities ¾ and ¼
    expected = -0.4 * math.log(0.75) - 0.6 * math.log(0.25)
    assert SoftLabel()(student, torch.tensor([[0.4, 0.6]])).item() == pytest.approx(expected)


def test_one_class_is_a_hard_label():
    student = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([2, 0, 1, 1, 0])
    shares = torch.nn.functional.one_hot(labels, 3).float()
    assert torch.allclose(SoftLabel()(student, shares), HardLabel()(student, labels))


def test_a_class_that_cannot_be_and_has_no_share():
    student = torch.tensor([[0.0, 0.0, -torch.inf]], requires_grad=True)
    value = SoftLabel()(student, torch.tensor([[0.5, 0.5, 0.0]]))
    value.backward()
    assert value.item() == pytest.approx(math.log(2))
    assert student.grad.isfinite().all()
