"""A run that is killed without warning, and taken up, equals one that was not."""

from __future__ import annotations

import random
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from safetensors.torch import load_file

TRAIN = {
    "settings": {"epochs": 60, "checkpoint_every": 0, "log_every": 3, "average": 0.99, "accumulate": 2},
    "optimizer": {
        "name": "adamw",
        "options": {"lr": 0.01},
        "schedule": "cosine_annealing_lr",
        "warmup": "10 steps",
    },
    "net": {"dropout": 0.3},
    "validate": True,
}


def kill_at(process: BaseProcess, history: Path, lines: int, pause: float) -> bool:
    """Kill once the history has so many lines, a moment later; whether it was in time."""
    while process.is_alive():
        if history.exists() and history.read_bytes().count(b"\n") >= lines:
            time.sleep(pause)
            process.kill()
            process.join()
            return process.exitcode != 0
        time.sleep(0.002)
    return False


def check(training, start, tmp_path: Path, kills: int) -> None:
    draw = random.Random(kills)
    whole, fitted = training.train(tmp_path / "whole", **TRAIN)
    expected = (tmp_path / "whole" / "history.jsonl").read_text()
    lines, killed = len(fitted.history), 0
    history = tmp_path / "cut" / "history.jsonl"
    for turn in range(kills):
        process = start(tmp_path, folder=str(tmp_path / "cut"), **TRAIN)
        at = lines * turn // (kills + 1) + draw.randrange(1, lines // (kills + 2))
        killed += kill_at(process, history, at, draw.random() * 0.02)
    assert killed == kills
    last = start(tmp_path, folder=str(tmp_path / "cut"), **TRAIN)
    last.join()
    assert last.exitcode == 0
    assert history.read_text() == expected
    held = load_file(tmp_path / "weights0.safetensors")
    assert all(held[name].equal(value) for name, value in whole.state_dict().items())
    left = {path.name for path in (tmp_path / "cut").iterdir()}
    assert left == {"checkpoint.safetensors", "best.safetensors", "history.jsonl"}


@pytest.mark.slow
def test_killed_three_times(training, start, tmp_path):
    check(training, start, tmp_path, 3)


@pytest.mark.slow
def test_killed_ten_times(training, start, tmp_path):
    check(training, start, tmp_path, 10)
