from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from tutelage.engine import save_weights
from tutelage.errors import CheckpointError, RecipeError, UnknownName
from tutelage.recipes.names import find
from tutelage.tasks.tabular import models
from tutelage.teachers import Frozen

SGD = {"student": {"sgd": {"lr": 0.1}}}
MODEL = {"mlp": {"widths": [8]}}


def test_a_frozen_teacher_is_trained_on_the_whole_training_split(make, trained, finish):
    study = make(teacher=trained(seed=3), transfer={"fraction": 0.2})
    (arm,) = study.teacher.arms
    assert arm.source is study.problem.train
    assert not arm.needs_teacher
    assert study.teacher.seed == 3
    assert isinstance(finish(study), Frozen)


def test_a_frozen_teacher_may_come_from_a_file(make, finish, logits, tmp_path: Path):
    network = find("model", "mlp", models)(num_classes=3, in_features=4, widths=[8])
    save_weights(tmp_path / "teacher.safetensors", network)
    study = make(teacher={"frozen": {"model": MODEL, "weights": str(tmp_path / "teacher.safetensors")}})
    assert not study.teacher.arms
    expected = network.eval()(study.problem.train.batch(range(5)).inputs)
    assert torch.equal(logits(finish(study), study), expected)


def test_a_file_that_is_not_there_is_an_error_before_anything_is_trained(make):
    with pytest.raises(CheckpointError, match=r"there is no file none\.safetensors"):
        make(teacher={"frozen": {"model": MODEL, "weights": "none.safetensors"}})


def test_a_pickle_that_holds_code_is_refused(make, finish, tmp_path: Path):
    path = tmp_path / "teacher.pt"
    path.write_bytes(pickle.dumps(print))
    study = make(teacher={"frozen": {"model": MODEL, "weights": str(path)}})
    with pytest.raises(CheckpointError, match=r"could run code|safetensors"):
        finish(study)


def test_weights_of_another_network_are_refused(make, finish, tmp_path: Path):
    save_weights(tmp_path / "other.safetensors", torch.nn.Linear(2, 2))
    study = make(teacher={"frozen": {"model": MODEL, "weights": str(tmp_path / "other.safetensors")}})
    with pytest.raises(CheckpointError, match="does not fit"):
        finish(study)


def test_a_teacher_without_training_or_weights_is_seeded(make, finish, logits):
    first, second = (make(teacher={"frozen": {"model": MODEL, "seed": 5}}) for _ in range(2))
    assert torch.equal(logits(finish(first), first), logits(finish(second), second))


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        ({"model": MODEL, "train": {"epochs": 1}}, "no optimizer"),
        ({"model": MODEL, "trian": {"epochs": 1}}, "teacher.frozen: unknown key 'trian'. Nearest: 'train'"),
        ({"model": MODEL, "train": {"epochs": 0}, "optimizers": SGD}, r"teacher\.frozen: train\.epochs"),
        ({"train": {"epochs": 1}}, r"teacher\.frozen: model"),
        ({"model": MODEL, "train": {"epochs": 1}, "optimizers": {"student": "adamm"}}, "Nearest: 'Adam'"),
    ],
)
def test_what_a_frozen_teacher_lacks_is_said(make, frozen, said):
    with pytest.raises((RecipeError, UnknownName), match=said):
        make(teacher={"frozen": frozen})


def test_training_and_weights_exclude_each_other(make, trained, tmp_path: Path):
    (tmp_path / "teacher.safetensors").touch()
    with pytest.raises(RecipeError, match="give one of them"):
        make(teacher=trained(weights=str(tmp_path / "teacher.safetensors")))


def test_weights_leave_an_optimizer_be(make, tmp_path: Path):
    weights = tmp_path / "teacher.safetensors"
    weights.touch()
    study = make(teacher={"frozen": {"model": MODEL, "weights": str(weights), "optimizers": SGD}})
    assert not study.teacher.arms


def test_an_optimizer_without_a_training_is_refused(make):
    with pytest.raises(RecipeError, match="optimizers and no train, so that nobody would train it"):
        make(teacher={"frozen": {"model": MODEL, "optimizers": SGD}})


def test_a_teacher_answers_ahead_or_is_sharded(make):
    assert make(teacher={"frozen": {"model": MODEL, "ahead": True}}).teacher.ahead
    assert not make(teacher={"frozen": {"model": MODEL}}).teacher.ahead
    with pytest.raises(RecipeError, match="both sharded and ahead"):
        make(teacher={"frozen": {"model": MODEL, "ahead": True, "sharded": True}})
