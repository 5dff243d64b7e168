"""Some of a teacher's classes, in the student's order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.teachers import SomeClasses
from tutelage.types import Batch

ROWS = torch.eye(4)
BATCH = Batch(ROWS, torch.arange(4))


def wide() -> nn.Module:
    layer = nn.Linear(4, 5, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(20.0).reshape(5, 4))
    return layer


def test_each_class_of_the_student_is_the_one_named():
    answer = SomeClasses(wide(), [3, 0])(BATCH).logits
    assert torch.equal(answer, wide()(ROWS)[:, [3, 0]])


@pytest.mark.parametrize("came", [[], [1], [2, 2], [0, -1]])
def test_what_maps_no_classes_is_refused(came):
    with pytest.raises(ModelError, match=r"classes came as .* from 0, each once"):
        SomeClasses(wide(), came)


def test_a_class_that_the_teacher_lacks_is_named():
    with pytest.raises(ModelError, match="the teacher's class 5, and it has 5, numbered from 0"):
        SomeClasses(wide(), [0, 5])(BATCH)
