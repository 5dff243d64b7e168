"""α–β divergences: between the two KL divergences."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import AlphaBetaTarget, ReverseSoftTarget, SoftTarget


def test_by_hand():
    q, p, alpha, beta = (0.9, 0.1), (0.5, 0.5), 0.2, 0.7
    both = alpha + beta
    terms = [
        alpha / both * a**both + beta / both * b**both - a**alpha * b**beta for a, b in zip(p, q, strict=True)
    ]
    student, teacher = (torch.tensor([row]).log() for row in (q, p))
    found = AlphaBetaTarget()(student, teacher).item()
    assert found == pytest.approx(sum(terms) / (alpha * beta), rel=1e-5)


def test_the_ends_are_the_kl_divergences():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(4, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    for (one, other), loss in (((1, 1e-6), SoftTarget), ((1e-6, 1), ReverseSoftTarget)):
        near = AlphaBetaTarget(teacher_power=one, student_power=other)(student, teacher)
        torch.testing.assert_close(near, loss(temperature=1.0)(student, teacher), rtol=1e-4, atol=0)


def test_exponents_that_are_none():
    with pytest.raises(ValueError, match="teacher_power came as 0"):
        AlphaBetaTarget(teacher_power=0)
    with pytest.raises(ValueError, match="student_power came as inf"):
        AlphaBetaTarget(student_power=math.inf)
