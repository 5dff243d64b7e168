"""Teacher-bounded regression: the bound, its margin, the error."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import BoundedRegression


def test_by_hand():
    student = torch.tensor([[1.0, 2.0], [0.0, 0.5], [3.0, 0.0]])
    teacher = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    labels = torch.zeros(3, 2)
    # errors 5, 0.25, 9; the teacher's 2, 2, 0: the second is within the bound
    found = BoundedRegression()(student, teacher, labels)
    assert found.item() == pytest.approx((5 + 0 + 9) / 3)


def test_a_margin_asks_for_more():
    student, teacher, labels = torch.tensor([[1.0]]), torch.tensor([[1.5]]), torch.zeros(1, 1)
    assert BoundedRegression()(student, teacher, labels) == 0  # 1 is below 2.25
    assert BoundedRegression(margin=1.5)(student, teacher, labels) == 1  # 1 + 1.5 is not


def test_a_negative_margin():
    with pytest.raises(ValueError, match="0 or more is expected"):
        BoundedRegression(margin=-1.0)


def test_beside_an_infinite_teacher_any_answer_is_within_the_bound():
    student, teacher = (
        torch.tensor([[-torch.inf], [3.0]], requires_grad=True),
        torch.tensor([[-torch.inf], [9.0]]),
    )
    value = BoundedRegression(margin=100.0)(student, teacher, torch.zeros(2, 1))
    value.backward()
    assert value.item() == 9 / 2
    assert student.grad.tolist() == [[0], [3]]
