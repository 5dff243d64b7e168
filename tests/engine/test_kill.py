"""A run that is killed without warning, and taken up, equals one that was not."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("training.py")
TRAIN = {
    "settings": {"epochs": 300, "checkpoint_every": 0, "log_every": 3, "average": 0.99, "accumulate": 2},
    "optimizer": {
        "name": "adamw",
        "options": {"lr": 0.01},
        "schedule": "cosine_annealing_lr",
        "warmup": 10,
    },
    "net": {"dropout": 0.3},
    "validate": True,
}


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    given = {"train": TRAIN | {"folder": str(folder)}, "out": str(out)}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(given)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=200)
    assert process.returncode == 0, said.decode()


def kill_at(process: subprocess.Popen[bytes], history: Path, lines: int, pause: float) -> bool:
    """Kill once the history has so many lines, a moment later; whether it was in time."""
    while process.poll() is None:
        if history.exists() and history.read_bytes().count(b"\n") >= lines:
            time.sleep(pause)
            process.kill()
            process.communicate()
            return process.returncode != 0
        time.sleep(0.002)
    return False


def check(tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    finish(start(tmp_path / "whole", tmp_path / "one"))
    expected = (tmp_path / "whole" / "history.jsonl").read_text()
    lines, killed = len(expected.splitlines()), 0
    history = tmp_path / "cut" / "history.jsonl"
    for turn in range(kills):
        process = start(tmp_path / "cut", tmp_path / "two")
        at = lines * turn // (kills + 1) + draw.randrange(1, lines // (kills + 2))
        killed += kill_at(process, history, at, draw.random() * 0.02)
    assert killed == kills
    finish(start(tmp_path / "cut", tmp_path / "two"))
    assert history.read_text() == expected
    one, two = (load_file(tmp_path / name / "weights0.safetensors") for name in ("one", "two"))
    assert all(one[name].equal(two[name]) for name in one)
    left = {path.name for path in (tmp_path / "cut").iterdir()}
    assert left == {"checkpoint.safetensors", "best.safetensors", "history.jsonl"}


def test_killed_three_times(tmp_path):
    check(tmp_path, 3)


@pytest.mark.slow
def test_killed_ten_times(tmp_path):
    check(tmp_path, 10)
