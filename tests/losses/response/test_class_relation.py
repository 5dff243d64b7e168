"""Inter- and intra-class relations: DIST's correlations."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import ClassRelation


def test_by_hand():
    q = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3]])
    # by item: (1/6, -1/30, -4/30)·(8/30, -1/30, -7/30) and (-2, -2, 4)/15·(-7, 8, -1)/30, over the lengths
    first = (5 * 8 + 1 * 1 + 4 * 7) / ((25 + 1 + 16) * (64 + 1 + 49)) ** 0.5
    second = (2 * 7 - 2 * 8 - 4 * 1) / ((4 + 4 + 16) * (49 + 64 + 1)) ** 0.5
    inter = 1 - (first + second) / 2
    # by class, of two items each: both fall, the student falls and the teacher rises, both rise
    intra = 1 - (1 - 1 + 1) / 3
    found = ClassRelation(inter_weight=2.0, intra_weight=3.0)(q.log(), p.log())
    assert found.item() == pytest.approx(2 * inter + 3 * intra, rel=1e-5)


def test_a_linear_change_of_the_probabilities_costs_nothing():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    q = 0.4 * p + 0.2
    assert ClassRelation(temperature=1.0)(q.log(), p.log()).item() == pytest.approx(0, abs=1e-5)


def test_what_does_not_vary_costs_nothing_and_has_a_gradient():
    student = torch.zeros(3, 4, requires_grad=True)
    loss = ClassRelation()(student, torch.randn(3, 4))
    loss.backward()
    assert loss == 0
    assert student.grad.isfinite().all()
