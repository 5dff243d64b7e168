"""A teacher that begins early: the same answers, whenever they are asked for."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.tasks.vision.models import resnet8
from tutelage.teachers import Ahead, Frozen, MovingAverage, Teacher
from tutelage.types import Batch, Outputs


def batch(value: float) -> Batch:
    return Batch(inputs=torch.full((2, 4), value), ids=torch.arange(2))


class Noting(Teacher):
    """Says which thread asked, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, str, bool, bool]] = []

    def forward(self, batch: Batch) -> Outputs:
        value = float(batch.inputs[0, 0])
        autocast = torch.is_autocast_enabled("cpu")
        self.asked.append((value, threading.current_thread().name, torch.is_grad_enabled(), autocast))
        if value < 0:
            raise ValueError("no answer below 0")
        return Outputs(logits=batch.inputs)


def test_what_was_begun_is_answered_on_another_thread_and_once():
    inner, first, second = Noting(), batch(1.0), batch(2.0)
    teacher = Ahead(inner)
    teacher.begin(first)
    teacher.begin(second)
    assert teacher(first).logits[0, 0] == 1
    assert teacher(second).logits[0, 0] == 2
    assert [value for value, *_ in inner.asked] == [1, 2]
    assert all(name.startswith("teacher") and not grad for _, name, grad, _ in inner.asked)


def test_what_was_not_begun_is_answered_here():
    inner = Noting()
    assert Ahead(inner)(batch(3.0)).logits[0, 0] == 3
    assert inner.asked[0][1] == threading.current_thread().name


def test_an_equal_batch_is_another_batch():
    inner, begun = Noting(), batch(1.0)
    teacher = Ahead(inner)
    teacher.begin(begun)
    teacher(batch(1.0))
    teacher(begun)
    assert len(inner.asked) == 2


def test_what_is_passed_over_is_dropped():
    teacher, batches = Ahead(Noting()), [batch(float(number)) for number in range(3)]
    for one in batches:
        teacher.begin(one)
    teacher(batches[1])
    assert [held.inputs[0, 0].item() for held, _ in teacher._begun] == [2]


def test_the_thread_has_the_callers_autocast():
    inner, begun = Noting(), batch(1.0)
    teacher = Ahead(inner)
    with torch.autocast("cpu", torch.bfloat16):
        teacher.begin(begun)
    teacher(begun)
    assert inner.asked[0][3] is True


def test_an_error_is_raised_where_the_answer_is_asked_for():
    teacher, begun = Ahead(Noting()), batch(-1.0)
    teacher.begin(begun)
    with pytest.raises(ValueError, match="no answer below 0"):
        teacher(begun)


def test_layers_are_watched_and_answers_are_the_teachers():
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    plain, teacher, asked = Frozen(network, layers=["0"]), Ahead(Frozen(network)), batch(0.5)
    teacher.watch(["0"])
    teacher.begin(asked)
    ours, theirs = teacher(asked), plain(asked)
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.features["0"], theirs.features["0"])
    assert not ours.logits.requires_grad


def test_stages_are_the_teachers():
    images, network = Batch(inputs=torch.zeros(2, 3, 16, 16), ids=torch.arange(2)), resnet8(num_classes=3)
    assert Ahead(Frozen(network)).stages(images) == Frozen(network).stages(images)


def test_a_teacher_that_moves_is_refused():
    with pytest.raises(ModelError, match="MovingAverage changes with the student"):
        Ahead(MovingAverage())
