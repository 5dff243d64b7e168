from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tutelage.corrections import PriorBias
from tutelage.data import Examples, Source
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings
from tutelage.errors import ModelError, UnknownName
from tutelage.files import read_json
from tutelage.forecast.forecast import forecast
from tutelage.losses import response
from tutelage.match import Match
from tutelage.runs import run
from tutelage.schemes import Alone, Offline
from tutelage.schemes.declared import Declared
from tutelage.studies import Arm, Outcome, Stage, Study, TeacherPlan
from tutelage.tasks.problem import Problem
from tutelage.teachers import Frozen
from tutelage.types import Batch

SGD = {"student": OptimizerSettings(name="sgd", options={"lr": 0.05, "momentum": 0.9})}


def examples(count: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, 6, generator=generator)
    return Examples(inputs, (inputs[:, :3]).argmax(1))


class Unread(Source):
    """A split that nobody may read."""

    def __len__(self) -> int:
        return 40

    def batch(self, numbers: Sequence[int]) -> Batch:
        raise AssertionError("the test split was read")


def alone(networks: Mapping[str, nn.Module], teacher: Any) -> Alone:
    return Alone(networks["student"], [Match(response.HardLabel())])


def offline(networks: Mapping[str, nn.Module], teacher: Any) -> Offline:
    return Offline(networks["student"], teacher, [Match(response.SoftTarget())])


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


NETWORKS = {"student": network}


def stage(scheme: Any = offline, **settings: Any) -> Stage:
    chosen = TrainSettings(**{"epochs": 4, "batch_size": 10} | settings)
    return Stage(scheme, chosen, SGD, declared=Declared(asks="nobody" if scheme is alone else "data"))


def study(test: Source | None = None, stages: Sequence[Stage] = (), **changes: Any) -> Study:
    train = examples(60, 0)
    problem = Problem(
        train=train,
        validation=examples(30, 1),
        test=test or examples(40, 2),
        num_classes=3,
        class_names=["a", "b", "c"],
        chance=1 / 3,
    )
    taught = Arm(NETWORKS, [stage(alone, epochs=2)], train)
    held = Study(
        name="tiny",
        problem=problem,
        teacher=TeacherPlan(lambda networks: Frozen(networks[0]), arms=[taught]),
        arms={
            "control": Arm(NETWORKS, [stage(alone)], train),
            "student": Arm(NETWORKS, stages or [stage()], train),
        },
        outcomes={"control": Outcome("control"), "student": Outcome("student", against="control")},
        seeds=[0, 1, 2],
    )
    return replace(held, **changes)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(cpu=True, quiet=True)


def test_it_counts_the_steps_of_all_seeds(runtime: Runtime):
    found = forecast(study(), runtime=runtime)
    assert {name: arm["steps"] for name, arm in found["arms"].items()} == {
        "teacher": 2 * 6,
        "control": 3 * 4 * 6,
        "student": 3 * 4 * 6,
    }
    for arm in found["arms"].values():
        assert 0 < arm["seconds_per_step"] < 1
        assert arm["seconds"] >= arm["steps"] * arm["seconds_per_step"] * 0.99
    assert found["seconds"] == pytest.approx(sum(arm["seconds"] for arm in found["arms"].values()))
    assert found["memory_bytes"] > 2**20
    assert "peak" in found["memory_is"]
    assert found["warnings"] == []


def test_the_test_split_is_not_read(runtime: Runtime):
    forecast(study(test=Unread()), runtime=runtime)


def test_nothing_is_left_behind(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    forecast(study(), out=tmp_path / "runs" / "tiny", runtime=runtime)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_disk_is_about_what_a_run_takes(runtime: Runtime, tmp_path: Path):
    settings = {"checkpoint_every": 0.0, "epochs": 1}
    arms = {name: replace(arm, stages=[stage(alone, **settings)]) for name, arm in study().arms.items()}
    held = study(arms=arms, seeds=[0, 1])
    kept = 0
    unlink = Path.unlink

    def weigh(path: Path, missing_ok: bool = False) -> None:
        nonlocal kept
        if path.name == "checkpoint.safetensors":
            kept += path.stat().st_size
        unlink(path, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", weigh)
        run(held, tmp_path / "run", quiet=True, cpu=True)
    written = kept + sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    expected = forecast(held, runtime=runtime)["disk_bytes"]
    assert written <= expected <= written + 2**20


def test_several_stages_are_added_up(runtime: Runtime):
    found = forecast(study(stages=[stage(), stage(alone, epochs=None, steps=7)]), runtime=runtime)
    assert found["arms"]["student"]["steps"] == 3 * (24 + 7)


def test_a_correction_is_tried_too(runtime: Runtime):
    arms = study().arms
    wrong = replace(
        arms["student"],
        correction=PriorBias(classes=[0]),
        networks={"student": lambda: nn.Linear(6, 3, bias=False)},
    )
    with pytest.raises(ModelError, match="no linear head"):
        forecast(study(arms={**arms, "student": wrong}), runtime=runtime)


def test_a_ready_teacher_takes_no_steps(runtime: Runtime):
    plan = TeacherPlan(lambda _: Frozen(network()), seconds=lambda: 1.5)
    found = forecast(study(teacher=plan), runtime=runtime)
    assert found["arms"]["teacher"] == {"steps": 0, "seconds_per_step": None, "seconds": 1.5}
    assert next(iter(found["arms"])) == "teacher"


class Slow(nn.Module):
    """A teacher that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return self.head(inputs)


@pytest.mark.slow
def test_a_teacher_that_remembers_is_paid_once(runtime: Runtime):
    teacher = Slow()
    asked, remembered = (
        forecast(study(teacher=TeacherPlan(lambda _: Frozen(teacher), remember=remember)), runtime=runtime)[
            "arms"
        ]["student"]
        for remember in (False, True)
    )
    assert asked["seconds"] > asked["steps"] * 0.1
    assert remembered["seconds_per_step"] < 0.1
    assert remembered["seconds"] < asked["seconds"] / 2


def test_a_wrong_turn_or_option_is_found(runtime: Runtime):
    wrong = replace(stage(), optimizers={"student": OptimizerSettings(name="sgdd")})
    with pytest.raises(UnknownName, match="optimizer 'sgdd'"):
        forecast(study(stages=[wrong]), runtime=runtime)


def test_a_full_disk_is_warned_of(runtime: Runtime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    found = forecast(study(), runtime=runtime, out=tmp_path / "runs")
    assert found["disk_free_bytes"] == 1000
    assert "choose another folder with --out" in found["warnings"][0]


def shifted(network: nn.Module, teacher: Any, batches: Any, device: torch.device) -> None:
    """A correction that can be seen."""
    with torch.no_grad():
        network[2].bias.add_(1.0)


def with_like() -> Study:
    held = study(seeds=[0])
    other = replace(held.arms["student"], like="student", correction=shifted)
    return replace(held, arms=held.arms | {"shifted": other})


def test_an_arm_like_another_takes_no_steps(runtime: Runtime):
    found = forecast(with_like(), runtime=runtime)["arms"]["shifted"]
    assert (found["steps"], found["seconds_per_step"]) == (0, None)


@pytest.mark.slow
def test_an_arm_like_another_has_its_training_and_a_correction_of_its_own(tmp_path: Path):
    done = run(with_like(), tmp_path / "run", quiet=True, cpu=True)
    assert done is not None
    folders = [tmp_path / "run" / "seed0" / name for name in ("student", "shifted")]
    taught, other = (load_file(folder / "student.safetensors") for folder in folders)
    torch.testing.assert_close(other["2.bias"], taught["2.bias"] + 1)
    assert torch.equal(other["0.weight"], taught["0.weight"])
    seconds = [read_json(folder / "trained.json")["seconds"] for folder in folders]
    assert seconds[0] == seconds[1]
    assert run(with_like(), tmp_path / "run", resume=True, quiet=True, cpu=True) is not None
