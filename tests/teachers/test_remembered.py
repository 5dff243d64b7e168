"""Answers kept by example id, and dropped when they no longer belong to the inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError, TutelageWarning
from tutelage.teachers import Frozen, Remembered
from tutelage.types import Batch


def batch(*ids: int, inputs: torch.Tensor | None = None) -> Batch:
    numbers = torch.tensor(ids)
    return Batch(inputs=numbers[:, None] * torch.ones(4) if inputs is None else inputs, ids=numbers)


@pytest.fixture
def teacher() -> Remembered:
    torch.manual_seed(0)
    return Remembered(Frozen(nn.Linear(4, 3)))


def test_is_asked_once_about_each_example_in_any_order(teacher: Remembered) -> None:
    first = teacher(batch(0, 1, 2, 3)).logits
    again = teacher(batch(3, 1)).logits
    assert teacher.asked == 4
    assert torch.equal(again, first[[3, 1]])


def test_asks_when_one_example_is_new(teacher: Remembered) -> None:
    teacher(batch(0, 1))
    mixed = teacher(batch(1, 900)).logits
    assert teacher.asked == 4
    assert torch.equal(mixed, teacher.teacher(batch(1, 900)).logits)
    assert torch.equal(teacher(batch(900)).logits, mixed[1:])
    assert teacher.asked == 4


@pytest.mark.parametrize("change", [lambda x: x.flip(1), lambda x: x + 1e-6, lambda x: -x])
def test_other_inputs_of_the_same_example_drop_the_memory(teacher: Remembered, change) -> None:
    inputs = torch.arange(8.0).reshape(2, 4)
    teacher(batch(0, 1, inputs=inputs))
    with pytest.warns(TutelageWarning, match="other inputs"):
        answer = teacher(batch(1, 0, inputs=change(inputs[[1, 0]])))
    assert torch.equal(answer.logits, teacher.teacher(batch(1, 0, inputs=change(inputs[[1, 0]]))).logits)
    assert not teacher.remembers


def test_sums_do_not_depend_on_the_batch(teacher: Remembered) -> None:
    inputs = torch.randn(64, 33, generator=torch.Generator().manual_seed(0))
    teacher.teacher = Frozen(nn.Linear(33, 3))
    teacher(batch(*range(64), inputs=inputs))
    for number in range(64):
        teacher(batch(number, inputs=inputs[number : number + 1]))
    assert teacher.asked == 64


def test_a_teacher_without_logits_is_refused() -> None:
    with pytest.raises(ModelError, match="gave none"):
        Remembered(Frozen(nn.Identity(), layers=[""]))._keep(torch.tensor([0]), torch.tensor([0]), None)
