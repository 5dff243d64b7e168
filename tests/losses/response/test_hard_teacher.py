"""Hard distillation: DeiT's number."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import HardLabel, HardTeacher


def test_by_hand():
    student = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]]).log()
    teacher = torch.tensor([[0.0, 5.0, 1.0], [2.0, 0.0, 1.0]])
    expected = -(math.log(0.2) + math.log(0.3)) / 2
    assert HardTeacher()(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_it_is_the_label_that_the_teacher_would_give():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(6, 3, 5, generator=generator) for _ in range(2))
    labelled = HardLabel(smoothing=0.1)(student, teacher.argmax(-1))
    torch.testing.assert_close(HardTeacher(smoothing=0.1)(student, teacher), labelled)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing came as"):
        HardTeacher(smoothing=smoothing)
