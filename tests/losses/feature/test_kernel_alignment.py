"""Centred kernel alignment: Kornblith's index, and what it does not see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tutelage.losses.feature import KernelAlignment


def features(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_by_hand():
    student, teacher = torch.tensor([[1.0], [2.0], [6.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
    x, y = [-2, -1, 3], [(-1, -1), (1, -2), (0, 3)]  # less their means 3 and (1, 2)
    k = [[a * b for b in x] for a in x]
    l = [[a[0] * b[0] + a[1] * b[1] for b in y] for a in y]  # noqa: E741
    pairs = [(i, j) for i in range(3) for j in range(3)]
    common = sum(k[i][j] * l[i][j] for i, j in pairs)
    lengths = math.sqrt(sum(k[i][j] ** 2 for i, j in pairs) * sum(l[i][j] ** 2 for i, j in pairs))
    assert KernelAlignment()(student, teacher).item() == pytest.approx(1 - common / lengths, rel=1e-5)


def test_rotation_scale_and_shift_change_nothing():
    student, teacher, square = features((7, 4), (7, 9), (4, 4))
    rotation = torch.linalg.qr(square)[0]
    loss = KernelAlignment()
    expected = loss(student, teacher)
    torch.testing.assert_close(loss(3 * student @ rotation + 5, teacher), expected)
    torch.testing.assert_close(loss(student, 0.01 * teacher - 2), expected)
    assert loss(student @ rotation, student).item() == pytest.approx(0, abs=1e-12)


def test_both_ways_give_one_number():
    student, teacher = features((7, 3), (7, 5))
    loss = KernelAlignment()
    by_channels = loss(student, teacher)
    wider = [torch.cat([rows, torch.zeros(7, 20, dtype=torch.float64)], 1) for rows in (student, teacher)]
    torch.testing.assert_close(loss(*wider), by_channels)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4 / 3])
@pytest.mark.parametrize("channels", [2, 9])
def test_a_student_that_does_not_vary(value, channels):
    student = torch.full((6, channels), value, requires_grad=True)
    loss = KernelAlignment()(student, torch.randn(6, 4))
    assert loss == 1
    assert (torch.autograd.grad(loss, student)[0] == 0).all()


def test_a_teacher_that_does_not_vary_and_a_single_example():
    student = torch.randn(6, 3, requires_grad=True)
    for rows, teacher in ((student, torch.full((6, 4), 0.1)), (student[:1], torch.randn(1, 4))):
        loss = KernelAlignment()(rows, teacher)
        assert loss == 0
        assert (torch.autograd.grad(loss, student)[0] == 0).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_fourth_powers_neither_overflow_nor_vanish(scale):
    student, teacher = (rows.float() for rows in features((6, 3), (6, 4)))
    loss = KernelAlignment()
    torch.testing.assert_close(loss(scale * student, scale * teacher), loss(student, teacher))


def test_features_of_two_layouts():
    student, teacher = features((5, 2, 3, 3), (5, 4, 6))
    expected = KernelAlignment()(student.flatten(1), teacher.flatten(1))
    torch.testing.assert_close(KernelAlignment()(student, teacher), expected)


def test_rounding_is_no_variation():
    teacher = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    row = torch.randn(1, 4, generator=torch.Generator().manual_seed(1))
    eps = torch.finfo(torch.float32).eps
    student = (row * (1 + eps * torch.arange(6).remainder(3).unsqueeze(1))).requires_grad_()
    assert len(student.unique(dim=0)) > 1
    value = KernelAlignment()(student, teacher)
    assert value.item() == 1
    assert (torch.autograd.grad(value, student)[0] == 0).all()
    assert KernelAlignment()(teacher, student) == 0
