"""Values as labels: each norm by hand, a value that is not known."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import ValueLabel


@pytest.mark.parametrize(("norm", "expected"), [("squared", 6.625), ("absolute", 2.75), ("smooth", 2.0625)])
def test_by_hand(norm, expected):
    student, labels = torch.tensor([[1.0, 0.0], [3.5, 2.0]]), torch.tensor([[1.5, 2.0], [0.5, 2.0]])
    # gaps ½, 2 and 3, 0: squared (¼ + 4 + 9) / 2, absolute (½ + 2 + 3) / 2, smooth (⅛ + 1½ + 2½) / 2
    assert ValueLabel(norm=norm)(student, labels).item() == pytest.approx(expected)


def test_a_value_that_is_not_known_adds_nothing():
    student = torch.tensor([[3.0, 1.0]], requires_grad=True)
    ValueLabel()(student, torch.tensor([[1.0, torch.nan]])).backward()
    assert student.grad.tolist() == [[4.0, 0.0]]


def test_an_unknown_norm():
    with pytest.raises(ValueError, match="squared, absolute, smooth"):
        ValueLabel(norm="cubed")
