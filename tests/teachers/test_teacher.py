"""What every teacher is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs


class Own(Teacher):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.9))

    def forward(self, batch: Batch) -> Outputs:
        return Outputs(self.net(batch.inputs))


def test_a_teacher_is_abstract() -> None:
    with pytest.raises(TypeError, match="forward"):
        Teacher()


def test_a_new_kind_of_teacher_cannot_forget_eval_mode() -> None:
    teacher = Own()
    assert not teacher.training
    batch = Batch(inputs=torch.ones(8, 2), ids=torch.arange(8))
    assert teacher.net.training
    assert torch.equal(teacher(batch).logits, teacher(batch).logits)
    assert not any(layer.training for layer in teacher.modules())


def test_training_its_owner_leaves_it_in_eval_mode() -> None:
    owner = nn.ModuleDict({"teacher": Own(), "student": nn.Dropout()})
    owner.train()
    assert owner["student"].training
    assert not any(layer.training for layer in owner["teacher"].modules())


def test_a_layer_that_refuses_eval_mode_is_overruled() -> None:
    class Stubborn(nn.Dropout):
        def train(self, mode: bool = True) -> Stubborn:
            self.training = True
            return self

    teacher = Own()
    teacher.net[1] = Stubborn(0.9)
    batch = Batch(inputs=torch.ones(8, 2), ids=torch.arange(8))
    assert torch.equal(teacher(batch).logits, teacher.net[0](batch.inputs))


def test_no_layers_by_default() -> None:
    Own().watch([])
    with pytest.raises(ModelError, match=r"Own has no layers to show; came \['net'\]"):
        Own().watch(["net"])
