"""Transformed teacher matching: Zheng and Yang's equations."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import TransformedTeacher

Q, P = (0.6, 0.4), (0.9, 0.1)


@pytest.mark.parametrize("weighted", [False, True])
def test_by_hand(weighted):
    powers = [math.sqrt(p) for p in P]  # T = 2: p^(1/2)
    softened = [power / sum(powers) for power in powers]
    expected = sum(p * math.log(p / q) for p, q in zip(softened, Q, strict=True))
    if weighted:
        expected *= sum(powers)
    student, teacher = (torch.tensor([row]).log() + 3 for row in (Q, P))
    found = TransformedTeacher(temperature=2.0, weighted=weighted)(student, teacher)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_its_minimum_is_the_softened_teacher():
    teacher = torch.tensor([[4.0, 0.0, -2.0]])
    loss = TransformedTeacher(temperature=4.0)
    assert loss(teacher / 4, teacher).item() == pytest.approx(0, abs=1e-6)
    assert loss(teacher, teacher) > 0.1
