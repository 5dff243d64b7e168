"""The student's likeliest classes, and the exact rest."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import ReverseSoftTarget, StudentTopTarget


def test_by_hand():
    student, teacher = (torch.tensor([row]).log() for row in ((0.1, 0.6, 0.2, 0.1), (0.4, 0.3, 0.1, 0.2)))
    q, p = torch.tensor([0.6, 0.2, 0.2]), torch.tensor([0.3, 0.1, 0.6])
    found = StudentTopTarget(temperature=1.0, k=2)(student, teacher)
    torch.testing.assert_close(found, (q * (q / p).log()).sum())


def test_more_classes_come_nearer_to_the_whole_from_below():
    draw = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 20, generator=draw) * 2 for _ in range(2))
    values = [StudentTopTarget(k=k)(student, teacher).item() for k in (1, 4, 12, 19)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(ReverseSoftTarget(temperature=1.0)(student, teacher).item(), rel=1e-5)


def test_no_class_is_refused():
    with pytest.raises(ValueError, match="k came as 0"):
        StudentTopTarget(k=0)
