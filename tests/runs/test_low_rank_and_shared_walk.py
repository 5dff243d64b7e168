"""Factorised, shared, trained on, handed over as plain weights, and exported; on real digits."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.engine import Runtime
from tutelage.errors import Interrupted
from tutelage.export import read_deep_compression
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.training import Classroom, train_arm, train_teacher

pytestmark = pytest.mark.slow

RECIPE = "vision/digits_pruned"


def study_of(change: str) -> Any:
    """The recipe with another change, and few steps."""
    trainings = [
        f"stages.{number}.train.{setting}"
        for number in (0, 2)
        for setting in ("epochs=null", "steps=12", "checkpoint_every=0")
    ]
    changes = [
        *trainings,
        f"stages.1={change}",
        "placebo=false",
        "teacher.train.epochs=1",
        "student.model.mlp.widths=[96, 64]",
    ]
    return build(load(RECIPE, changes=changes), RECIPE, seeds=1)


def ask(*words: Any) -> Any:
    answer = CliRunner().invoke(app, [str(word) for word in (*words, "--json")])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize(
    "change",
    ["{share: {bits: 3}}", "{factorise: {parameters: 0.4, weighted: true}}"],
    ids=["share", "factorise"],
)
def test_a_run_is_measured_rebuilt_and_exported(tmp_path: Path, change: str) -> None:
    out = tmp_path / "run"
    run(study_of(change), out, cpu=True, quiet=True)
    outcome = json.loads((out / "results.json").read_text())["outcomes"]["student"]
    weights = load_file(out / "student.safetensors")
    found = ask("evaluate", out, "--cpu")
    assert found["quality"]["accuracy"]["mean"] == outcome["quality"]["accuracy"]["mean"]
    about = json.loads((out / "network.json").read_text())
    if "share" in change:
        assert about["done"] == []
        assert sorted(weights) == sorted(load_file(out / "seed0/student/stage0/student.safetensors"))
        assert all(len(value.unique()) <= 8 for name, value in weights.items() if name.endswith("weight"))
        said = ask("export", out, "--format", "deep_compression")
        assert said["path"].endswith("export/student.dcz")
        read = read_deep_compression(said["path"])
        assert all(torch.equal(read[name], value) for name, value in weights.items())
    else:
        assert about["done"][0]["change"] == "factorise"
        assert sum(value.numel() for value in weights.values()) <= 0.4 * (65 * 96 + 97 * 64 + 65 * 10)
        assert ask("export", out, "--format", "torch_export")["max_difference"] < 1e-4


class StopAt(Runtime):
    """Asks for a stop after so many looks, one before each step; never at 0."""

    def __init__(self, at: int) -> None:
        super().__init__(cpu=True, quiet=True)
        self.left = at

    @property
    def stop_asked(self) -> bool:
        self.left -= 1
        return self.left == 0


def walked(change: str, folder: Path, *, stop_at: int = 0) -> dict[str, Tensor]:
    study, runtime = study_of(change), StopAt(stop_at)
    networks = [one.network for one in train_teacher(study, folder, runtime)]
    asked = partial(Classroom(study, networks, runtime).teacher, study.arms["student"])
    done = train_arm(
        study.arms["student"], study.problem, runtime, folder, seed=0, teacher=asked, label="student"
    )
    return done.network.state_dict()


@pytest.mark.parametrize("change", ["{share: {bits: 3}}", "{factorise: {rank: 4, weighted: true}}"])
def test_a_walk_that_is_stopped_after_the_change_goes_on(tmp_path: Path, change: str) -> None:
    whole = walked(change, tmp_path / "whole")
    with pytest.raises(Interrupted):  # after the teacher's 13 steps, 12 before the change, and 8
        walked(change, tmp_path / "cut", stop_at=13 + 12 + 8)
    assert (tmp_path / "cut" / "stage2" / "checkpoint.safetensors").exists()
    again = walked(change, tmp_path / "cut")
    assert whole.keys() == again.keys()
    assert all(torch.equal(again[name], value) for name, value in whole.items())
