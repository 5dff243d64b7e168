"""Multi-level logit distillation: Jin's three levels."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import MultiLevel

Q, P = torch.tensor([[0.5, 0.5], [0.8, 0.2]]), torch.tensor([[1.0, 0.0], [0.6, 0.4]])


def only(**weights: float) -> MultiLevel:
    none = {"item_weight": 0.0, "batch_weight": 0.0, "class_weight": 0.0}
    return MultiLevel(temperatures=[1.0], **(none | weights))


def test_by_hand():
    student, teacher = Q.log(), P.clamp(min=1e-30).log()
    by_item = (math.log(2) + 0.6 * math.log(0.6 / 0.8) + 0.4 * math.log(0.4 / 0.2)) / 2
    assert only(item_weight=1.0)(student, teacher).item() == pytest.approx(by_item, rel=1e-5)
    # Gram matrices of items: (.5, .5; .5, .68) and (1, .6; .6, .52)
    by_batch = (0.25 + 2 * 0.01 + 0.0256) / 2
    assert only(batch_weight=1.0)(student, teacher).item() == pytest.approx(by_batch, rel=1e-4)
    # of classes: (.89, .41; .41, .29) and (1.36, .24; .24, .16)
    by_class = (0.47**2 + 2 * 0.17**2 + 0.13**2) / 2
    assert only(class_weight=1.0)(student, teacher).item() == pytest.approx(by_class, rel=1e-4)


def test_temperatures_are_averaged():
    student, teacher = torch.tensor([[1.0, -2.0], [0.0, 1.0]]), torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    one, two = (MultiLevel(temperatures=[t])(student, teacher) for t in (2.0, 5.0))
    torch.testing.assert_close(MultiLevel(temperatures=[2.0, 5.0])(student, teacher), (one + two) / 2)


def test_no_temperature_is_refused():
    with pytest.raises(ValueError, match="temperatures came empty"):
        MultiLevel(temperatures=[])
    with pytest.raises(ValueError, match="one of the temperatures came as 0"):
        MultiLevel(temperatures=[2.0, 0.0])
