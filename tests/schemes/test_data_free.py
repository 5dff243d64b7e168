"""A student that never sees data: what the generator is asked for, what is drawn, a run from end to end."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn

from tutelage.data import Source, normal
from tutelage.engine import Runtime
from tutelage.errors import ModelError, RecipeError
from tutelage.labelling import LabelSettings, prepare
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import DataFree
from tutelage.teachers import Frozen, Function, Remembered
from tutelage.training import Classroom, train_arm, train_teacher
from tutelage.types import Batch, Moment

RECIPE = "vision/digits_data_free"
SMALL = [
    "stages.0.scheme.data_free.noise=10",
    "teacher.frozen.model={mlp: {widths: [16]}}",
    "teacher.frozen.train.epochs=2",
    "student.model={mlp: {widths: [8]}}",
    "networks.generator.model={image_generator: {noise: 10, widths: [6], batch_norm: false}}",
    "control.stages.0.train={steps: 4, batch_size: 16}",
]
PLAIN_SGD = "{sgd: {lr: 0.05, momentum: 0.9}}"


def soft() -> Match:
    return Match(response.SoftTarget(temperature=2.0))


def net(width: int = 5, classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, classes))


def generator(noise: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(noise, 4), nn.Tanh())


def scheme(**options: Any) -> DataFree:
    torch.manual_seed(0)
    held = DataFree(net(), Frozen(net(8)), [soft()], generator(), noise=3, **options)
    held.prepare(batch())
    return held


def batch(*ids: int) -> Batch:
    """Examples of which nothing but the numbers can be read."""
    return Batch(torch.full((len(ids) or 4, 4), math.nan), torch.tensor(ids or (3, 1, 8, 5)))


def at(move: int) -> Moment:
    return Moment(move, 10, 10, move)


def saying(*logits: float) -> nn.Module:
    """A network that answers each input of one number with that number times these logits."""
    network = nn.Linear(1, len(logits), bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(logits).unsqueeze(1))
    return network


def test_what_the_generator_minimises_by_hand():
    ones = nn.Linear(2, 1)
    with torch.no_grad():
        ones.weight.zero_()
        ones.bias.fill_(1.0)
    student, teacher = saying(0.0, 0.0), saying(math.log(3), 0.0)
    held = DataFree(student, Frozen(teacher), [soft()], ones, noise=2, certain=2.0, disagreement=0.5)
    noise = torch.tensor([[0.3, -0.2], [-1.0, 0.5]])  # asks for class 0, and for class 1
    terms = held.turns()[0].terms(Batch(noise, torch.arange(2)))
    assert terms["class"].item() == pytest.approx(2.0 * -(math.log(0.75) + math.log(0.25)) / 2)
    apart = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert terms["disagreement"].item() == pytest.approx(-0.5 * apart)


def test_the_generator_raises_what_the_student_lowers():
    held = scheme(certain=0.0, disagreement=1.0)
    turn, _ = held.turns()
    drawn = turn.makes(batch(), at(0))
    before = turn.terms(drawn)["disagreement"]
    before.backward()
    torch.optim.SGD(turn.parameters, lr=0.1).step()
    assert turn.terms(drawn)["disagreement"] < before  # which is minus the divergence


def test_only_the_generator_gets_a_gradient_in_its_turn_and_modes_come_back():
    held = scheme()
    held.student.append(nn.Dropout(0.5))
    held.student.train()
    turn, _ = held.turns()
    sum(turn.terms(turn.makes(batch(), at(0))).values()).backward()
    assert all(p.grad is not None for p in held.generator.parameters())
    assert all(p.grad is None for p in (*held.student.parameters(), *held.teacher.parameters()))
    assert all(p.requires_grad for p in held.student.parameters())
    assert all(layer.training for layer in held.student.modules())


def test_noise_belongs_to_ids_and_moves():
    held = scheme(repeat=2)
    for turn in held.turns():
        whole, part = turn.makes(batch(3, 1, 8), at(4)), turn.makes(batch(8, 3), at(4))
        torch.testing.assert_close(whole.inputs[[2, 0]], part.inputs, rtol=1e-6, atol=1e-6)
        assert not torch.allclose(whole.inputs, turn.makes(batch(3, 1, 8), at(5)).inputs)
        assert whole.labels is None
        assert not whole.inputs.requires_grad
    generator_turn, student_turn = held.turns()
    assert student_turn.repeat == 2
    with torch.no_grad():
        same = held.generator(generator_turn.makes(batch(), at(0)).inputs)
    assert not torch.allclose(same, student_turn.makes(batch(), at(0)).inputs)
    expected = normal(torch.tensor([3]), 3, seed=4, draw="noise of the generator")
    assert torch.equal(generator_turn.makes(batch(3), at(4)).inputs, expected.float())


def test_layers_are_matched_on_what_was_made():
    torch.manual_seed(0)
    matches = [soft(), Match(feature.Hint(), guided="1")]
    held = DataFree(net(), Frozen(net(8)), matches, generator(), noise=3)
    held.prepare(batch())
    _, turn = held.turns()
    assert set(turn.terms(turn.makes(batch(), at(0)))) == {"SoftTarget", "Hint(1)"}
    assert "matches" in held.modules


# -- what is refused ---------------------------------------------------------------------------------


def test_labels_are_not_there():
    with pytest.raises(ModelError, match="HardLabel looks at labels, and what a generator makes has none"):
        DataFree(net(), Frozen(net()), [Match(response.HardLabel())], generator())


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 1.0)])
def test_a_generator_that_learns_nothing(weights: tuple[float, float]):
    certain, disagreement = weights
    with pytest.raises(ModelError, match="expected weights of 0 or more, and one above 0"):
        DataFree(net(), Frozen(net()), [soft()], generator(), certain=certain, disagreement=disagreement)


def test_less_noise_than_classes():
    held = DataFree(net(), Frozen(net()), [soft()], generator(2), noise=2)
    with pytest.raises(ModelError, match="noise came as 2, and the teacher tells 3 classes apart"):
        held.prepare(batch())


def test_a_teacher_without_gradient():
    held = DataFree(net(), Function(net()), [soft()], generator(), noise=3)
    with pytest.raises(ModelError, match="no gradient passes through Function to what it is asked about"):
        held.prepare(batch())


# -- in a recipe -------------------------------------------------------------------------------------


class Hidden(Source):
    """Another source, of whose images nothing can be read."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    @property
    def labels(self) -> Any:
        """Those of the source."""
        return self.source.labels

    def batch(self, numbers: Any) -> Batch:
        """The same ids, and images of no numbers."""
        held = self.source.batch(numbers)
        return replace(
            held, inputs=torch.full_like(held.inputs, math.nan), labels=torch.zeros_like(held.labels)
        )


def test_real_images_and_labels_are_never_looked_at(tmp_path: Path):
    study = build(load(RECIPE, changes=[*SMALL, "stages.0.train={steps: 3, batch_size: 16}"]), "data free")
    runtime = Runtime(cpu=True, quiet=True)
    taught = train_teacher(study, tmp_path, runtime)
    classroom = Classroom(study, [one.network for one in taught], runtime)
    arm = study.arms["student"]

    def trained(source: Source, name: str) -> dict[str, torch.Tensor]:
        done = train_arm(
            replace(arm, source=source),
            study.problem,
            runtime,
            tmp_path / name,
            seed=0,
            teacher=lambda stage: classroom.teacher(arm, stage),
            label=name,
        )
        return {
            f"{name}.{key}": v for name, net in done.networks.items() for key, v in net.state_dict().items()
        }

    seen, hidden = trained(arm.source, "seen"), trained(Hidden(arm.source), "hidden")
    assert seen.keys() == hidden.keys()
    assert all(torch.equal(value, hidden[key]) for key, value in seen.items())
    assert all(value.isfinite().all() for value in hidden.values())


def test_a_teacher_that_remembers_does_not_remember_what_is_made():
    study = build(load(RECIPE, changes=[*SMALL, "teacher.frozen.remember=true"]), "data free")
    networks = [arm.networks["student"]() for arm in study.plan.arms]
    classroom = Classroom(study, networks, Runtime(cpu=True, quiet=True))
    for name, kind in {"student": Frozen, "control": Remembered}.items():
        ((_, stage),) = study.arms[name].trainings
        assert type(classroom.teacher(study.arms[name], stage)) is kind


def test_there_is_nothing_to_label(tmp_path: Path):
    study = build(load(RECIPE), "data free")
    with pytest.raises(RecipeError, match="asks its teacher about what it makes while it trains"):
        prepare(study, tmp_path / "answers", LabelSettings(), Runtime(cpu=True, quiet=True))
    assert not (tmp_path / "answers").exists()


def test_the_control_asks_the_same_teacher_about_noise():
    study = build(load(RECIPE), "data free")
    ((_, stage),), ((_, alone),) = (list(study.arms[name].trainings) for name in ("student", "control"))
    assert (stage.declared.asks, alone.declared.asks) == ("made", "data")
    assert stage.declared.turn_names == ["generator", "student"]
    assert alone.settings == stage.settings
    assert alone.optimizers["student"] == stage.optimizers["student"]
    real, noise = study.arms["student"].source.batch([4]), study.arms["control"].source.batch([4])
    assert torch.equal(real.ids, noise.ids)
    assert not torch.equal(real.inputs, noise.inputs)


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    changes = [
        *SMALL,
        "stages.0.train={steps: 6, batch_size: 23, keep: last}",
        "stages.0.scheme.data_free.repeat=2",
        f"stages.0.optimizers={{student: {PLAIN_SGD}, generator: {PLAIN_SGD}}}",
        f"control.stages.0.optimizers.student={PLAIN_SGD}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    short = [f"{where}.train.steps=200" for where in ("stages.0", "control.stages.0")]
    study = build(load(RECIPE, changes=short), "data free", seeds=3)
    done = run(study, tmp_path / "run", quiet=True, cpu=True)
    held = json.loads((done.out / "results.json").read_text())
    assert list(held["outcomes"]) == ["control", "student"]
    assert {one["steps"] for one in held["outcomes"].values()} == {200}
    assert all(one["quality"]["accuracy"]["mean"] > 0.6 for one in held["outcomes"].values())
    assert (held["verdict"]["of"], held["verdict"]["against"]) == ("student", "control")
    assert held["teacher"]["quality"]["accuracy"]["mean"] > 0.95
    assert any("generator" in line for line in held["verdict"]["uncontrolled"])
    assert "placebo" not in held["outcomes"]
    assert (done.out / "student.safetensors").is_file()
    for seed in range(3):
        assert (done.out / f"seed{seed}" / "student" / "generator.safetensors").is_file()
    assert "control" in done.report.read_text()
