"""Decoupled distillation: Zhao's equations."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import Decoupled, SoftTarget
from tutelage.types import UNLABELLED

Q, P = (0.6, 0.3, 0.1), (0.7, 0.1, 0.2)


def kl(teacher: tuple[float, ...], student: tuple[float, ...]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(teacher, student, strict=True))


def test_by_hand():
    target = kl((0.7, 0.3), (0.6, 0.4))
    other = kl((1 / 3, 2 / 3), (0.75, 0.25))
    student, teacher = (2 * torch.tensor([row]).log() for row in (Q, P))
    loss = Decoupled(temperature=2.0, target_weight=1.5, other_weight=8.0)
    expected = 4 * (1.5 * target + 8 * other)
    assert loss(student, teacher, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-5)


def test_with_the_weights_that_the_kl_gives_it_is_the_kl():
    student, teacher = (torch.tensor([row]).log() for row in (Q, P))
    loss = Decoupled(temperature=1.0, target_weight=1.0, other_weight=1 - P[0])
    plain = SoftTarget(temperature=1.0)(student, teacher)
    torch.testing.assert_close(loss(student, teacher, torch.tensor([0])), plain)


def test_unlabelled_items_add_nothing_and_stay_in_the_denominator():
    student, teacher = (torch.tensor([row, row]).log() for row in (Q, P))
    one = Decoupled()(student[:1], teacher[:1], torch.tensor([1]))
    torch.testing.assert_close(Decoupled()(student, teacher, torch.tensor([1, UNLABELLED])), one / 2)


@pytest.mark.parametrize("name", ["target_weight", "other_weight"])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} came as -1"):
        Decoupled(**{name: -1.0})


def test_a_label_without_rivals_has_no_other_part():
    one = torch.tensor([[2.0], [-1.0]])
    alone = torch.tensor([[2.0, -torch.inf, -torch.inf], [1.0, -torch.inf, -torch.inf]])
    for teacher in (one, alone):
        student = (teacher + 1).requires_grad_()
        value = Decoupled()(student, teacher, torch.tensor([0, 0]))
        value.backward()
        assert value == 0
        assert (student.grad == 0).all()
