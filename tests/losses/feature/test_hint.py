"""Hints: FitNets' number, up to the stated normalisation."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.feature import Hint


def test_by_hand():
    guided, hint = [[1.0, -2.0, 0.5], [0.0, 1.0, 2.0]], [[3.0, 0.0, -1.0], [0.0, 4.0, 2.0]]
    papers = [(4 + 4 + 2.25) / 2, (0 + 9 + 0) / 2]  # ½ ‖u − r(v)‖² of each item
    expected = sum(value / (3 / 2) for value in papers) / 2
    assert Hint()(torch.tensor(guided), torch.tensor(hint)).item() == pytest.approx(expected)


def test_the_size_of_the_map_does_not_change_the_weight():
    small, large = torch.ones(2, 3, 4, 4), torch.ones(2, 64, 16, 16)
    assert Hint()(small, small * 3).item() == Hint()(large, large * 3).item() == 4


def test_each_item_weighs_the_same():
    student, teacher = torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)
    teacher[1], teacher[2] = 3, torch.nan
    assert Hint()(student, teacher, torch.tensor([True, True, False])).item() == 5  # (1 + 9) / 2


def test_a_projector_is_named_when_the_shapes_differ():
    with pytest.raises(ValueError, match="put a projector"):
        Hint()(torch.ones(2, 3), torch.ones(2, 4))
