"""Jensen–Shannon targets: GKD's divergence for one item."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import JensenShannonTarget


def test_by_hand():
    q, p, skew = (0.9, 0.1), (0.5, 0.5), 0.1
    mixed = [skew * theirs + (1 - skew) * ours for ours, theirs in zip(q, p, strict=True)]

    def kl(first: tuple[float, ...]) -> float:
        return sum(one * math.log(one / m) for one, m in zip(first, mixed, strict=True))

    student, teacher = (torch.tensor([row]).log() for row in (q, p))
    found = JensenShannonTarget(skew=skew)(student, teacher)
    assert found.item() == pytest.approx(skew * kl(p) + (1 - skew) * kl(q), rel=1e-5)


def test_half_and_half_is_symmetric():
    one, other = torch.tensor([[1.0, -2.0, 0.5]]), torch.tensor([[3.0, 0.0, -1.0]])
    loss = JensenShannonTarget(temperature=2.0)
    torch.testing.assert_close(loss(one, other), loss(other, one))


@pytest.mark.parametrize("skew", [0.0, 1.0, math.nan])
def test_skews_that_mix_nothing_are_refused(skew):
    with pytest.raises(ValueError, match="skew came as"):
        JensenShannonTarget(skew=skew)
