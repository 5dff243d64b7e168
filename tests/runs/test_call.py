"""A call of Python as the page says it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tutelage.runs.call import call_of


def teach(teacher, student, train, validation=None, *, test=None, matches=None, epochs=20, out=None, **more):
    return call_of(teach, dict(locals()), name="teach")


def test_networks_and_data_stand_by_name_and_say_what_came():
    data = DataLoader(TensorDataset(torch.zeros(30, 4)))
    said = teach([nn.Linear(4, 2), nn.Linear(4, 2)], lambda: nn.Linear(4, 2), data, test=torch.zeros(5, 4))
    assert said.splitlines() == [
        "teach(",
        "    teacher,  # Linear of 10 parameters, Linear of 10 parameters",
        "    student,  # a function",
        "    train,  # DataLoader of TensorDataset of 30",
        "    test=test,  # Tensor of 5 × 4",
        ")",
    ]


def test_what_can_be_written_down_is_and_defaults_are_not():
    said = teach("a", "b", "c", "d", epochs=20, out=Path("runs/x"), clip=1.0, optimizer={"sgd": {"lr": 0.1}})
    assert said.splitlines()[4:-1] == [
        "    'd',",
        "    out='runs/x',",
        "    clip=1.0,",
        "    optimizer={'sgd': {'lr': 0.1}},",
    ]


def test_an_object_without_words_is_its_class_and_no_address():
    class Forest:
        pass

    lazy = nn.LazyLinear(3)
    said = teach(Forest(), lazy, torch.zeros(3))
    assert "teacher,  # Forest\n" in said
    assert "student,  # LazyLinear of 0 parameters" in said
