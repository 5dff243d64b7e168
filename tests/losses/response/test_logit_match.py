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
