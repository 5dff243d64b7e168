"""Adaptive soft targets: both KL divergences, by where the gap lies."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.divergences import forward_kl, reverse_kl
from tutelage.losses.response import AdaptiveSoftTarget


def test_by_hand():
    student, teacher = (torch.tensor([row]).log() for row in ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1)))
    share = 0.4 / (0.4 + 0.0 + 0.4)  # the first class alone makes up half of the teacher
    expected = share * forward_kl(student, teacher) + (1 - share) * reverse_kl(student, teacher)
    torch.testing.assert_close(AdaptiveSoftTarget()(student, teacher), expected[0])


def test_a_gap_on_likely_classes_alone_is_the_forward_kl():
    student, teacher = (torch.tensor([row]).log() for row in ((0.25, 0.65, 0.1), (0.45, 0.45, 0.1)))
    torch.testing.assert_close(
        AdaptiveSoftTarget(head=0.8)(student, teacher), forward_kl(student, teacher)[0]
    )


def test_a_head_that_is_none():
    with pytest.raises(ValueError, match="head came as 1"):
        AdaptiveSoftTarget(head=1)
