"""Probability matching."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import ProbabilityMatch, SoftTarget


def test_by_hand():
    student, teacher = torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([[0.5, 0.1, 0.4]]).log()
    assert ProbabilityMatch()(student, teacher).item() == pytest.approx(0.04 + 0.01 + 0.09, rel=1e-5)


def test_it_is_no_substitute_for_a_soft_target():
    student, teacher = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[3.0, 0.0, -1.0]])
    soft = SoftTarget(temperature=20.0)(student, teacher)
    assert soft / ProbabilityMatch(temperature=20.0)(student, teacher) > 500
