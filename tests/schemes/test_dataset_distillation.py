"""A data set in a few examples: whose means they take, what the next stage learns from, a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from safetensors.torch import load_file
from torch import nn

from tutelage.data import Examples
from tutelage.engine import Runtime
from tutelage.errors import ModelError, UnknownName
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import DatasetDistillation
from tutelage.tasks.vision import models
from tutelage.training import train_arm
from tutelage.types import UNLABELLED, Batch, Moment

RECIPE = "vision/digits_condensed"
FEW = ["stages.0.train.steps=6", "stages.1.train.steps=6", "control.stages.0.train.steps=6"]


class Learnt(nn.Module):
    """Examples that are parameters, and their classes."""

    def __init__(self, rows: list[list[float]], classes: list[int]) -> None:
        super().__init__()
        self.rows, self.classes = nn.Parameter(torch.tensor(rows)), torch.tensor(classes)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The examples and their classes."""
        return self.rows, self.classes


def real(rows: list[list[float]], classes: list[int]) -> Batch:
    return Examples(torch.tensor(rows), torch.tensor(classes)).batch(range(len(rows)))


def plain(width: int = 2) -> nn.Module:
    """A network that answers with what it reads."""
    network = nn.Linear(width, width, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.eye(width))
    return nn.Sequential(network)


def at(move: int) -> Moment:
    return Moment(move, 10, 10, move)


def test_the_distance_to_the_mean_of_the_class_by_hand():
    learnt = Learnt([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]], [0, 0, 1])  # means (1, 0) and (0, 1)
    (turn,) = DatasetDistillation(plain(), learnt).turns()
    terms = turn.terms(real([[1.0, 2.0], [3.0, 1.0]], [0, 1]))  # 0 + 4, and 9 + 0
    assert terms["features"].item() == pytest.approx(6.5)
    terms["features"].backward()
    # That of |mean − mean|² by the classes' shares: ½ · 2 · (learnt − real), halved where two share a mean.
    expected = torch.tensor([[0.0, -1.0], [0.0, -1.0], [-3.0, 0.0]])
    torch.testing.assert_close(learnt.rows.grad, expected)


def test_unlabelled_and_masked_items_add_nothing():
    (turn,) = DatasetDistillation(plain(), Learnt([[0.0, 0.0], [0.0, 0.0]], [0, 1])).turns()
    batch = real([[2.0, 0.0], [9.0, 9.0], [7.0, 7.0]], [0, UNLABELLED, 1])
    masked = Batch(batch.inputs, batch.ids, batch.labels, mask=torch.tensor([True, True, False]))
    assert turn.terms(masked)["features"].item() == pytest.approx(4 / 2)


def test_other_weights_look_at_each_move_and_the_same_ones_at_the_same():
    torch.manual_seed(0)
    student = models.mlp(num_classes=2, in_features=2, widths=[5])
    scheme = DatasetDistillation(student, Learnt([[0.0, 1.0], [1.0, 0.0]], [0, 1]), layer="head:input")
    (turn,) = scheme.turns()
    batch = real([[1.0, 2.0], [3.0, 1.0]], [0, 1])
    before = [held.clone() for held in student.parameters()]

    def seen(move: int) -> float:
        return turn.terms(turn.makes(batch, at(move)))["features"].item()

    first, second = seen(0), seen(1)
    assert first != second
    assert (seen(0), seen(1)) == (first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, student.parameters(), strict=True))


def test_drawn_weights_have_the_spread_of_he():
    scheme = DatasetDistillation(nn.Sequential(nn.Linear(200, 100)), Learnt([[0.0] * 200], [0]))
    (turn,) = scheme.turns()
    turn.makes(real([[0.0] * 200], [0]), at(3))
    assert scheme.embedding[0].weight.std().item() == pytest.approx(0.1, rel=0.02)


def test_what_was_made_is_examples_with_labels():
    scheme = DatasetDistillation(plain(), Learnt([[0.0, 1.0], [1.0, 0.0]], [0, 1]))
    made = scheme.made()
    assert len(made) == 2
    assert made.labels.tolist() == [0, 1]
    assert not made.batch([0, 1]).inputs.requires_grad
    with torch.no_grad():
        scheme.examples.rows.add_(1)
    assert made.batch([0]).inputs.tolist() == [[0.0, 1.0]]


def test_data_that_do_not_fit_are_refused():
    scheme = DatasetDistillation(plain(), Learnt([[0.0, 1.0]], [0]))
    with pytest.raises(ModelError, match=r"the shape \[2\], and those of the data \[3\]"):
        scheme.prepare(real([[0.0, 1.0, 2.0]], [0]))
    with pytest.raises(ModelError, match="the data have no class for each"):
        scheme.prepare(Batch(torch.zeros(1, 2), torch.tensor([0])))
    with pytest.raises(UnknownName, match="unknown layer 'heat'"):
        DatasetDistillation(plain(), Learnt([[0.0]], [0]), layer="heat")


# -- in a recipe -------------------------------------------------------------------------------------


def test_the_control_sees_as_many_real_images():
    study = build(load(RECIPE), "condensed")
    assert not study.asks
    student, control = study.arms["student"], study.arms["control"]
    held, learns = (stage for _, stage in student.trainings)
    assert len(student.source_of(held)) == len(study.problem.train) == 1000
    assert (learns.data, list(learns.afresh)) == ("made", ["student"])
    assert len(control.source) == 10
    assert sorted(control.source.labels.tolist()) == list(range(10))
    ((_, alone),) = control.trainings
    assert alone.settings == learns.settings
    assert alone.optimizers == learns.optimizers


def test_a_killed_run_goes_on_from_what_was_made(tmp_path: Path):
    study = build(load(RECIPE, changes=FEW), "condensed")

    def trained() -> dict[str, torch.Tensor]:
        arm = study.arms["student"]
        runtime = Runtime(cpu=True, quiet=True)
        train_arm(arm, study.problem, runtime, tmp_path, seed=0, teacher=None, label="student")
        return load_file(tmp_path / "student.safetensors")

    expected = trained()
    (tmp_path / "trained.json").unlink()
    shutil.rmtree(tmp_path / "stage1")
    for checkpoint in tmp_path.glob("stage0/checkpoint*"):
        checkpoint.unlink()
    assert (tmp_path / "stage0" / "made.safetensors").is_file()
    again = trained()
    assert expected.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in expected.items())


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    changes = [
        "stages.0.train={steps: 6, batch_size: 23}",
        "stages.1.train={steps: 6, batch_size: 7, keep: last}",
        "stages.0.optimizers.examples={sgd: {lr: 0.5, momentum: 0.9}}",
        "stages.1.optimizers.student={sgd: {lr: 0.05, momentum: 0.9}}",
        "control.stages.0.train={steps: 2, batch_size: 10}",
        "control.stages.0.optimizers.student={sgd: {lr: 0.05}}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    steps = ["stages.0.train.steps=150", "stages.1.train.steps=60", "control.stages.0.train.steps=60"]
    study = build(load(RECIPE, changes=steps), "condensed", seeds=3)
    done = run(study, tmp_path / "run", quiet=True, cpu=True)
    held = json.loads((done.out / "results.json").read_text())
    assert list(held["outcomes"]) == ["control", "student"]
    assert held["outcomes"]["student"]["quality"]["accuracy"]["mean"] > 0.8
    assert held["outcomes"]["student"]["steps"] == 150 + 60
    assert held["outcomes"]["control"]["quality"]["accuracy"]["mean"] < 0.7
    assert held["verdict"]["word"] == "better"
    assert (held["verdict"]["of"], held["verdict"]["against"]) == ("student", "control")
    assert held["teacher"] is None
    assert held["sanity"] == []
    weights = load_file(done.out / "student.safetensors")
    assert {key.partition(".")[0] for key in weights} == {"hidden", "head"}
    for seed in range(3):
        made = load_file(done.out / f"seed{seed}" / "student" / "stage0" / "made.safetensors")
        assert any(value.shape == (10, 1, 8, 8) for value in made.values())
    assert "control" in done.report.read_text()
