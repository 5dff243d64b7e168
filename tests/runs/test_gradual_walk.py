"""A share that grows while a student is taught: kept weights have all of it, and a run that stops goes on."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tutelage.engine import Runtime
from tutelage.errors import Interrupted
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.training import Classroom, train_arm, train_teacher

pytestmark = pytest.mark.slow

GRADUAL = "stages.1={prune: {share: 0.8, structure: weights, gradual: {until: 0.5, every: 7}%s}}"
SHORT = [
    "teacher.train.epochs=2",
    "placebo=false",
    *(f"stages.{number}.train.epochs=4" for number in (0, 2)),
    *(f"stages.{number}.train.checkpoint_every=0" for number in (0, 2)),
]


def study_of(by: str) -> Any:
    changes = [*SHORT, GRADUAL % (f", by: {by}")]
    return build(load("vision/digits_pruned", changes=changes), "gradual", seeds=1)


class StopAt(Runtime):
    """Asks for a stop after so many looks, one before each step; never at 0."""

    def __init__(self, at: int) -> None:
        super().__init__(cpu=True, quiet=True)
        self.left = at

    @property
    def stop_asked(self) -> bool:
        self.left -= 1
        return self.left == 0


def walked(by: str, folder: Path, *, stop_at: int = 0) -> dict[str, Tensor]:
    study, runtime = study_of(by), StopAt(stop_at)
    networks = [one.network for one in train_teacher(study, folder, Runtime(cpu=True, quiet=True))]
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


@pytest.mark.parametrize("by", ["magnitude", "movement"])
def test_a_walk_that_stops_while_the_share_grows_goes_on_bit_for_bit(tmp_path: Path, by: str):
    whole = walked(by, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "teacher", tmp_path / "cut" / "teacher")
    study = study_of(by)
    first, last = (
        stage.settings.total_steps(len(study.arms["student"].source) // 64 + 1)
        for stage in (study.arms["student"].stages[0], study.arms["student"].stages[2])
    )
    with pytest.raises(Interrupted):
        walked(by, tmp_path / "cut", stop_at=first + last // 3)
    found = walked(by, tmp_path / "cut")
    assert whole.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in whole.items())
    kept = [value for key, value in whole.items() if key.endswith(".kept")]
    assert [1 - value.double().mean().item() for value in kept] == pytest.approx([0.8] * 3, abs=0.01)


def test_the_student_that_is_handed_over_is_plain_and_as_sparse_as_asked(tmp_path: Path):
    run(study_of("magnitude"), tmp_path / "run", cpu=True, quiet=True)
    for folder in (tmp_path / "run", tmp_path / "run" / "outcomes" / "control"):
        weights = load_file(folder / "student.safetensors")
        about = json.loads((folder / "network.json").read_text())
        assert about["done"] == []
        assert set(about["shapes"]) == set(weights)
        share = {
            key: (value == 0).double().mean().item() for key, value in weights.items() if value.ndim == 2
        }
        assert list(share) == ["head.weight", "hidden.0.linear.weight", "hidden.1.linear.weight"]
        assert list(share.values()) == pytest.approx([0.8] * 3, abs=0.01)
