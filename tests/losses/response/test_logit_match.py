"""Logit matching: Ba and Caruana's number."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import LogitMatch


def test_by_hand():
    z, v = [[1.0, -2.0, 0.5], [0.0, 1.0, 2.0]], [[3.0, 0.0, -1.0], [0.0, 4.0, 2.0]]
    # 1/(2T) Σ ‖g − z‖²: (4 + 4 + 2.25 + 0 + 9 + 0) / (2 · 2)
    assert LogitMatch()(torch.tensor(z), torch.tensor(v)).item() == pytest.approx(19.25 / 4)


def test_the_gradient_is_the_difference():
    student, teacher = torch.tensor([[1.0, 2.0]], requires_grad=True), torch.tensor([[0.0, 5.0]])
    LogitMatch()(student, teacher).backward()
    assert student.grad.tolist() == [[1, -3]]


def test_a_class_that_can_be_for_neither_adds_nothing():
    student, teacher = torch.tensor([[1.0, 2.0, -torch.inf]]), torch.tensor([[0.0, 5.0, -torch.inf]])
    student.requires_grad_()
    value = LogitMatch()(student, teacher)
    value.backward()
    assert value.item() == (1 + 9) / 2
    assert student.grad.tolist() == [[1, -3, 0]]
    assert LogitMatch()(student, torch.zeros(1, 3)) == torch.inf
