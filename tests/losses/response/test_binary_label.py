"""Binary labels: a hand-worked value, unknown answers, labels out of range."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import BinaryLabel
from tutelage.types import UNLABELLED


def test_by_hand():
    student = torch.tensor([[math.log(3), 0.0], [-math.log(3), 0.0]])  # probabilities ¾, ½, ¼, ½
    labels = torch.tensor([[1, 0], [1, 1]])
    expected = (-math.log(0.75) - math.log(0.5) - math.log(0.25) - math.log(0.5)) / 2
    assert BinaryLabel()(student, labels).item() == pytest.approx(expected)


@pytest.mark.parametrize("unknown", [float("nan"), float(UNLABELLED)])
def test_an_unknown_answer_adds_nothing_and_gets_no_gradient(unknown):
    student = torch.tensor([[2.0, -1.0]], requires_grad=True)
    value = BinaryLabel()(student, torch.tensor([[1.0, unknown]]))
    value.backward()
    assert value.item() == pytest.approx(-math.log(torch.tensor(2.0).sigmoid()))
    assert student.grad[0, 1] == 0


def test_labels_out_of_range():
    with pytest.raises(ValueError, match="outside 0 to 1"):
        BinaryLabel()(torch.zeros(1, 2), torch.tensor([[0, 2]]))
