"""Distil, prune, distil again, on real digits: the control walks along, and a run that is cut off goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from carrying import same_in_parts_and_together
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.engine import Runtime
from tutelage.errors import Interrupted
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.tasks.networks import mlp
from tutelage.training import Classroom, arm, train_arm, train_teacher

pytestmark = pytest.mark.slow

RECIPE = "vision/digits_pruned"
SHORT = [
    "teacher.train.epochs=2",
    "placebo=false",
    *(f"stages.{number}.train.epochs=3" for number in (0, 2)),
    *(f"stages.{number}.train.checkpoint_every=0" for number in (0, 2)),
    *(f"stages.{number}.train.log_every=1" for number in (0, 2)),
]
FEW_STEPS = [
    "placebo=false",
    "teacher.remember=false",
    "teacher.model={mlp: {widths: [16]}}",
    *("teacher.train.epochs=null", "teacher.train.steps=6", "teacher.optimizers.student={sgd: {lr: 0.05}}"),
    *(f"stages.{number}.train.epochs=null" for number in (0, 2)),
    *(f"stages.{number}.train.steps=6" for number in (0, 2)),
    *(f"stages.{number}.optimizers.student={{sgd: {{lr: 0.05}}}}" for number in (0, 2)),
]
SHAPES = {
    "hidden.0.linear.weight": [16, 64],
    "hidden.0.linear.bias": [16],
    "hidden.1.linear.weight": [8, 16],
    "hidden.1.linear.bias": [8],
    "head.weight": [10, 8],
    "head.bias": [10],
}


def study_of(seeds: int = 1) -> Any:
    return build(load(RECIPE, changes=SHORT), RECIPE, seeds=seeds)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two seeds that nothing cut off."""
    out = tmp_path_factory.mktemp("pruned") / "run"
    run(study_of(2), out, cpu=True, quiet=True)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to do with as one likes."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def same_weights(one: Path, other: Path) -> None:
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_control_walks_the_same_chain(finished: Path):
    outcomes = read(finished / "results.json")["outcomes"]
    student, control = outcomes["student"], outcomes["control"]
    assert student["cost"]["parameters"] == control["cost"]["parameters"] == 1266
    assert student["cost"]["flops"] == control["cost"]["flops"]
    assert student["steps"] == control["steps"]
    beside = [finished / "network.json", finished / "outcomes" / "control" / "network.json"]
    for path in beside:
        about = read(path)
        assert about["shapes"] == SHAPES
        assert about["built_by"] == {"mlp": {"widths": [32, 16]}}
        (change,) = about["done"]
        assert change["change"] == "prune"
        kept = change["done"]["kept"]
        assert {layer: len(units) for layer, units in kept.items()} == {
            "hidden.0.linear": 16,
            "hidden.1.linear": 8,
        }


def test_every_seed_of_both_arms_was_pruned_between_two_trainings(finished: Path):
    for seed in (0, 1):
        for name in ("control", "student"):
            folder = finished / f"seed{seed}" / name
            before = load_file(folder / "stage0" / "student.safetensors")
            pruned = load_file(folder / "stage1" / "student.safetensors")
            kept = read(folder / "stage1" / "student.json")["done"]["kept"]["hidden.0.linear"]
            assert torch.equal(pruned["hidden.0.linear.weight"], before["hidden.0.linear.weight"][kept])
            after = load_file(folder / "student.safetensors")
            assert {key: list(value.shape) for key, value in after.items()} == SHAPES
            assert not torch.equal(after["head.bias"], pruned["head.bias"])


def test_the_weights_load_into_a_plain_network(finished: Path):
    plain = mlp(num_classes=10, in_features=64, widths=[16, 8])
    plain.load_state_dict(load_file(finished / "student.safetensors"))


class Cut(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a teacher, and of a student that nothing cut off."""
    folder = tmp_path_factory.mktemp("taught")
    walked(folder)
    return folder


class StopAt(Runtime):
    """Asks for a stop after so many looks, one before each step; never at 0."""

    def __init__(self, at: int) -> None:
        super().__init__(cpu=True, quiet=True)
        self.left = at

    @property
    def stop_asked(self) -> bool:
        self.left -= 1
        return self.left == 0


def walked(folder: Path, *, stop_at: int = 0) -> dict[str, Tensor]:
    """The student's arm, trained in a folder or taken up there."""
    study, runtime = study_of(), StopAt(stop_at)
    networks = [one.network for one in train_teacher(study, folder, runtime)]
    asked = partial(Classroom(study, networks, runtime).teacher, study.arms["student"])
    done = train_arm(
        study.arms["student"],
        study.problem,
        runtime,
        folder / "student",
        seed=0,
        teacher=asked,
        label="student",
    )
    return done.network.state_dict()


def with_teacher(taught: Path, folder: Path) -> Path:
    shutil.copytree(taught / "teacher", folder / "teacher")
    return folder


def check_equal(taught: Path, folder: Path, found: dict[str, Tensor]) -> None:
    whole = taught / "student"
    same_weights(whole / "student.safetensors", folder / "student" / "student.safetensors")
    expected = load_file(whole / "student.safetensors")
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert read(whole / "student.json") == read(folder / "student" / "student.json")
    for stage in ("stage0", "stage2"):
        histories = [each / stage / "history.jsonl" for each in (whole, folder / "student")]
        assert histories[0].read_text() == histories[1].read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "number"),
    [("train", 0), ("left", 0), ("changed", 1), ("left", 1), ("train", 2), ("left", 2), ("close", None)],
)
def test_a_walk_that_breaks_off_in_any_stage_goes_on(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, number: int | None
):
    """Before a stage trains; after it trained and before that was noted; before a change, and after it."""
    own = getattr(arm._Work, method)

    def cut(self: Any, at: Any, *rest: Any) -> Any:
        if number is None or getattr(at, "number", at) == number:
            raise Cut
        return own(self, at, *rest)

    with_teacher(taught, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(arm._Work, method, cut)
        with pytest.raises(Cut):
            walked(tmp_path)
    check_equal(taught, tmp_path, walked(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("stop_at", "stage"), [(10, "stage0"), (60, "stage2")])
def test_a_walk_that_is_stopped_in_a_training_goes_on(taught: Path, tmp_path: Path, stop_at: int, stage: str):
    with_teacher(taught, tmp_path)
    with pytest.raises(Interrupted):
        walked(tmp_path, stop_at=stop_at)
    left = {path.name for path in (tmp_path / "student" / stage).iterdir()}
    assert "checkpoint.safetensors" in left
    assert "fitted.json" not in left
    check_equal(taught, tmp_path, walked(tmp_path))


@pytest.mark.slow
def test_a_walk_that_breaks_off_between_the_two_files_of_a_change_goes_on(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = arm.write_json

    def cut(path: Path, value: Any) -> None:
        if path.parent.name == "stage1":
            raise Cut
        own(path, value)

    with_teacher(taught, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(arm, "write_json", cut)
        with pytest.raises(Cut):
            walked(tmp_path)
    assert (tmp_path / "student" / "stage1" / "student.safetensors").exists()
    check_equal(taught, tmp_path, walked(tmp_path))


@pytest.mark.parametrize(
    "lost", [("stage2",), ("stage1/student.json", "stage2"), ("stage2/fitted.json",), ()], ids=str
)
def test_what_was_lost_is_done_again(taught: Path, tmp_path: Path, lost: tuple[str, ...]):
    shutil.copytree(taught, tmp_path, dirs_exist_ok=True)
    student = tmp_path / "student"
    for name in (*lost, *(("trained.json", "student.safetensors", "student.json") if lost else ())):
        shutil.rmtree(student / name) if (student / name).is_dir() else (student / name).unlink()
    check_equal(taught, tmp_path, walked(tmp_path))


@pytest.mark.slow
def test_a_process_that_is_killed_in_each_training_goes_on(finished: Path, tmp_path: Path):
    words = [
        sys.executable,
        "-m",
        "tutelage",
        "run",
        RECIPE,
        "--cpu",
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "run"),
    ]
    words += [word for change in SHORT for word in ("--set", change)]
    history = tmp_path / "run" / "seed0" / "student"
    for number, more in ((0, []), (2, ["--resume"])):
        assert kill_at([*words, *more], history / f"stage{number}" / "history.jsonl")
        assert not (history / f"stage{number}" / "fitted.json").exists()
    done = subprocess.run([*words, "--resume"], capture_output=True, text=True, env=alone(), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    whole, cut = finished / "seed0" / "student", tmp_path / "run" / "seed0" / "student"
    same_weights(whole / "student.safetensors", cut / "student.safetensors")
    assert read(whole / "student.json") == read(cut / "student.json")
    ours, theirs = (read(each / "results.json")["outcomes"] for each in (finished, tmp_path / "run"))
    for name, outcome in theirs.items():
        for metric, held in outcome["quality"].items():
            assert held["per_seed"] == ours[name]["quality"][metric]["per_seed"][:1]


def alone() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def kill_at(words: list[str], history: Path, *, lines: int = 5) -> bool:
    """Start a run, and kill it once a history has some lines; whether it was in time."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone())
    try:
        while process.poll() is None:
            if history.exists() and history.read_bytes().count(b"\n") >= lines:
                return True
            time.sleep(0.002)
        return False
    finally:
        process.kill()
        process.wait()


def ask(*words: Any) -> Any:
    answer = CliRunner().invoke(app, [str(word) for word in (*words, "--json")])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


def test_evaluate_rebuilds_the_pruned_network(copied: Path):
    outcomes = read(copied / "results.json")["outcomes"]
    accuracies = outcomes["student"]["quality"]["accuracy"]["per_seed"]
    found = ask("evaluate", copied, "--cpu")
    assert found["quality"]["accuracy"]["mean"] in accuracies
    assert found["cost"]["parameters"] == outcomes["student"]["cost"]["parameters"]
    for seed, accuracy in enumerate(accuracies):
        weights = copied / f"seed{seed}" / "student" / "student.safetensors"
        held = ask("evaluate", copied, "--cpu", "--weights", weights)
        assert held["quality"]["accuracy"]["mean"] == accuracy


def test_evaluate_rebuilds_the_control(copied: Path):
    accuracies = read(copied / "results.json")["outcomes"]["control"]["quality"]["accuracy"]["per_seed"]
    weights = copied / "outcomes" / "control" / "student.safetensors"
    assert ask("evaluate", copied, "--cpu", "--weights", weights)["quality"]["accuracy"]["mean"] in accuracies


def test_the_exported_program_answers_as_measured(copied: Path):
    found = ask("export", copied, "--format", "torch_export")
    assert found["max_difference"] < 1e-4
    program = torch.export.load(found["path"]).module()
    test = study_of().problem.test
    batch = test.batch(range(len(test)))
    accuracy = (program(batch.inputs).argmax(-1) == batch.labels).double().mean().item()
    assert accuracy == pytest.approx(ask("evaluate", copied, "--cpu")["quality"]["accuracy"]["mean"])
    assert read(copied / "export" / "network.json")["shapes"] == SHAPES


@pytest.mark.slow
def test_parts_and_processes_leave_the_same_weights(tmp_path: Path):
    same_in_parts_and_together(RECIPE, FEW_STEPS, tmp_path)
