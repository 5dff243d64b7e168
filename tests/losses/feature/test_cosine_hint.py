"""Hints by direction: worked angles, layouts and zero vectors."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.feature import CosineHint


def test_by_hand():
    u, v = (1.0, 2.0, 2.0), (2.0, -1.0, 2.0)
    expected = 1 - (2 - 2 + 4) / (3 * 3)
    assert CosineHint()(torch.tensor([u]), torch.tensor([v])).item() == pytest.approx(expected)


@pytest.mark.parametrize(("scale", "expected"), [(5.0, 0.0), (-0.1, 2.0)])
def test_length_does_not_matter_and_direction_does(scale, expected):
    feature = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert CosineHint()(feature, scale * feature).item() == pytest.approx(expected, abs=1e-6)


def test_layouts():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 6, 5, generator=generator) for _ in "st")
    expected = CosineHint()(student, teacher)
    maps = [feature.mT.reshape(2, 5, 3, 2) for feature in (student, teacher)]
    torch.testing.assert_close(CosineHint()(*maps), expected)
    torch.testing.assert_close(CosineHint(axis=-3)(*maps), expected)
    torch.testing.assert_close(CosineHint(axis=-1)(*(each.movedim(1, -1) for each in maps)), expected)
    torch.testing.assert_close(CosineHint(axis=1)(student.mT, teacher.mT), expected)


def test_a_mask_of_positions_covers_a_map():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, 5, 3, 2, generator=generator) for _ in "st")
    mask = torch.rand(2, 3, 2, generator=generator) < 0.5
    picked = [feature.movedim(1, -1)[mask] for feature in (student, teacher)]
    torch.testing.assert_close(CosineHint()(student, teacher, mask), CosineHint()(*picked))


def test_a_zero_vector_has_no_direction_and_a_gentle_gradient():
    student = torch.zeros(1, 2, requires_grad=True)
    loss = CosineHint()(student, torch.tensor([[3.0, 4.0]]))
    assert loss == 1
    torch.testing.assert_close(torch.autograd.grad(loss, student)[0], torch.tensor([[-0.6, -0.8]]))


@pytest.mark.parametrize("axis", [0, -2, 2, 7])
def test_axes_that_hold_no_channels_are_refused(axis):
    with pytest.raises(ValueError, match="pass the axis of the channels"):
        CosineHint(axis=axis)(torch.ones(2, 3), torch.ones(2, 3))


def test_shown_only_when_said():
    assert repr(CosineHint()) == "CosineHint()"
    assert repr(CosineHint(axis=1)) == "CosineHint(axis=1)"
    assert math.isfinite(CosineHint(axis=1)(torch.ones(2, 3), torch.ones(2, 3)))
