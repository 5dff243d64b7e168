"""Total variation targets."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import TotalVariationTarget


def test_by_hand():
    student, teacher = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.5, 0.1, 0.4]]).log()
    # ½ (0.2 + 0.1 + 0.3), at T = 2 times 2
    assert TotalVariationTarget()(student, teacher).item() == pytest.approx(0.3, rel=1e-6)
    assert TotalVariationTarget(temperature=2.0)(2 * student, 2 * teacher).item() == pytest.approx(0.6)


def test_the_size_of_the_gradient_does_not_depend_on_the_temperature():
    def size(temperature: float) -> float:
        student = torch.tensor([[0.3, 0.0, -0.3]], requires_grad=True)
        TotalVariationTarget(temperature=temperature)(student, torch.zeros(1, 3)).backward()
        return student.grad.abs().sum().item()

    assert size(100.0) == pytest.approx(size(10.0), rel=0.05)
