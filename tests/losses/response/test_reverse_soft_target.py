"""Reverse soft targets: MiniLLM's divergence for one item."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import ReverseSoftTarget


def test_by_hand():
    q, p = (0.8, 0.2), (0.5, 0.5)
    expected = 9 * (0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5))
    student, teacher = (3 * torch.tensor([row]).log() for row in (q, p))
    assert ReverseSoftTarget(temperature=3.0)(student, teacher).item() == pytest.approx(expected, rel=1e-5)


def test_it_settles_on_one_of_two_modes():
    teacher = torch.tensor([[0.499, 0.499, 0.002]]).log()
    one, both = torch.tensor([[0.98, 0.01, 0.01]]).log(), torch.tensor([[0.4, 0.4, 0.2]]).log()
    loss = ReverseSoftTarget(temperature=1.0)
    assert loss(one, teacher) < loss(both, teacher)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_without_a_softmax_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature came as"):
        ReverseSoftTarget(temperature=temperature)


def test_empty_chunks_are_refused():
    with pytest.raises(ValueError, match="chunk_size came as 0"):
        ReverseSoftTarget(chunk_size=0)
