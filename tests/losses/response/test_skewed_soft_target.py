"""Skewed soft targets: DistiLLM's divergence for one item."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import SkewedSoftTarget, SoftTarget


def test_by_hand():
    q, p, skew = (0.9, 0.1), (0.5, 0.5), 0.25
    mixed = [skew * ours + (1 - skew) * theirs for ours, theirs in zip(p, q, strict=True)]
    expected = sum(ours * math.log(ours / m) for ours, m in zip(p, mixed, strict=True))
    student, teacher = (torch.tensor([row]).log() for row in (q, p))
    assert SkewedSoftTarget(skew=skew)(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_without_skew_it_is_the_soft_target():
    student, teacher = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[3.0, 0.0, -1.0]])
    plain = SoftTarget(temperature=2.0)(student, teacher)
    torch.testing.assert_close(SkewedSoftTarget(temperature=2.0, skew=0.0)(student, teacher), plain)


def test_it_is_bounded_where_the_forward_kl_is_not():
    student, teacher = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    assert SkewedSoftTarget(skew=0.1)(student, teacher).item() == pytest.approx(math.log(10), rel=1e-5)


@pytest.mark.parametrize("skew", [-0.1, 1.0, math.nan])
def test_skews_that_mix_nothing_are_refused(skew):
    with pytest.raises(ValueError, match="skew came as"):
        SkewedSoftTarget(skew=skew)
