"""Normalised distillation: Yang's equation 8."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import Normalised
from tutelage.types import UNLABELLED

Q, P = (0.6, 0.3, 0.1), (0.7, 0.1, 0.2)


def test_by_hand():
    target = -0.7 * math.log(0.6)
    other = 1 / 3 * math.log((1 / 3) / 0.75) + 2 / 3 * math.log((2 / 3) / 0.25)
    student, teacher = (torch.tensor([row]).log() for row in (Q, P))
    found = Normalised(other_weight=1.5)(student, teacher, torch.tensor([0]))
    assert found.item() == pytest.approx(target + 1.5 * other, rel=1e-5)


def test_the_temperature_is_for_the_others_alone():
    student, teacher = (torch.tensor([row]).log() for row in (Q, P))
    loss = Normalised(temperature=4.0, other_weight=0.0)
    assert loss(student, teacher, torch.tensor([0])).item() == pytest.approx(-0.7 * math.log(0.6), rel=1e-5)


def test_unlabelled_items_add_nothing_and_stay_in_the_denominator():
    student, teacher = (torch.tensor([row, row]).log() for row in (Q, P))
    one = Normalised()(student[:1], teacher[:1], torch.tensor([1]))
    torch.testing.assert_close(Normalised()(student, teacher, torch.tensor([1, UNLABELLED])), one / 2)


def test_a_label_without_rivals_has_no_other_part():
    one = torch.tensor([[2.0], [-1.0]])
    alone = torch.tensor([[2.0, -torch.inf, -torch.inf], [1.0, -torch.inf, -torch.inf]])
    for teacher in (one, alone):
        student = (teacher + 1).requires_grad_()
        value = Normalised()(student, teacher, torch.tensor([0, 0]))
        value.backward()
        assert value == 0
        assert (student.grad == 0).all()
