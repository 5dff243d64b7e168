"""Knowledge review: Chen's fusion and hierarchical context, worked for two small stages."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tutelage.losses.feature import KnowledgeReview


def features(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def fitted(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], **options: object) -> KnowledgeReview:
    torch.manual_seed(3)
    loss = KnowledgeReview(**options)
    loss.fit(student, teacher)
    return loss


def zeroed(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], **options: object) -> KnowledgeReview:
    loss = fitted(student, teacher, **options)
    with torch.no_grad():
        for held in loss.parameters():
            held.zero_()
    return loss


def test_the_hierarchy_by_hand():
    student, teacher = (torch.zeros(1, 1, 3, 4),), (torch.arange(12.0).reshape(1, 1, 3, 4),)
    # whole; 4 a side is whole too; 2: averages of rows (0, 1), (1, 2) by columns (0, 1), (2, 3); 1: the mean
    whole = sum(number**2 for number in range(12)) / 12
    two = (2.5**2 + 4.5**2 + 6.5**2 + 8.5**2) / 4
    one = 5.5**2
    expected = (whole + two / 2 + one / 4) / (1 + 1 / 2 + 1 / 4)
    assert zeroed(student, teacher)(student, teacher).item() == pytest.approx(expected)


def test_the_fusion_by_hand():
    student = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 5.0)
    teacher = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)
    loss = zeroed(student, teacher, width=2)
    with torch.no_grad():
        for fusion in loss.fusions:
            fusion.inward.weight.copy_(torch.tensor([3.0, -3.0]).reshape(2, 1, 1, 1))
            fusion.inward_norm.weight.fill_(4.0)
            fusion.outward.weight[:, :, 1, 1] = torch.eye(2)
            fusion.outward_norm.weight.fill_(2.0)
            fusion.outward_norm.bias.fill_(0.5)
        loss.fusions[1].attention.bias.copy_(torch.tensor([0.0, 1.0]))
    # ±3x about their mean of 0, over their spread: ±1, times 4
    deep, _ = loss.fusions[0](student[1], None, (1, 1))
    shallow, fused = loss.fusions[1](student[0], deep, (1, 1))
    both = 4 / 2 + 4 / (1 + math.exp(-1))
    torch.testing.assert_close(deep.flatten(), torch.tensor([4.0, -4.0]))
    torch.testing.assert_close(shallow.flatten(), torch.tensor([both, -both]))
    torch.testing.assert_close(fused.flatten(), torch.tensor([2.5, -1.5]))
    assert loss(student, teacher).item() == pytest.approx(2 * (2.5**2 + 1.5**2) / 2, rel=1e-5)


def test_a_deeper_stage_teaches_a_shallower_one_and_not_the_reverse():
    student, teacher = features((2, 4, 8, 8), (2, 6, 4, 4)), features((2, 5, 8, 8), (2, 7, 4, 4))
    loss = fitted(student, teacher)
    shallow, deep = (held.clone().requires_grad_() for held in student)
    both = loss((shallow, deep), teacher)
    other = loss((shallow, deep), (teacher[0] + 1, teacher[1]))  # the shallow target moves
    by_deep = torch.autograd.grad(other - both, deep)[0]
    assert by_deep.abs().sum() > 0
    moved = loss((shallow, deep), (teacher[0], teacher[1] + 1))  # the deep target moves
    by_shallow = torch.autograd.grad(moved - loss((shallow, deep), teacher), shallow)[0]
    torch.testing.assert_close(by_shallow, torch.zeros_like(by_shallow), atol=1e-6, rtol=0)


def test_stages_of_other_sizes_and_layouts():
    student, teacher = features((2, 4, 12, 8), (2, 6, 3, 2)), features((2, 5, 8, 8), (2, 1 + 16, 7))
    assert fitted(student, teacher)(student, teacher).isfinite()


def test_one_stage_is_enough_and_other_numbers_are_refused():
    student, teacher = features((2, 4, 4, 4)), features((2, 5, 4, 4))
    loss = fitted(student, teacher)
    assert loss(student, teacher).isfinite()
    with pytest.raises(ValueError, match="as many as `fit` saw"):
        loss(student * 2, teacher * 2)


@pytest.mark.parametrize(("width", "expected"), [(None, 6), (3, 3)])
def test_the_width(width, expected):
    student, teacher = features((2, 4, 4, 4), (2, 6, 2, 2)), features((2, 5, 4, 4), (2, 7, 2, 2))
    assert fitted(student, teacher, width=width).fusions[0].inward.out_channels == expected


def test_widths_out_of_range_are_refused():
    with pytest.raises(ValueError, match="width came as 0"):
        KnowledgeReview(width=0)
