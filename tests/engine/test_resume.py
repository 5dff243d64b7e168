"""A run that was stopped and taken up equals one that was not, bit for bit."""

from __future__ import annotations

import os
import re
import signal

import pytest
import torch

from tutelage.engine import StopRequest, read_history
from tutelage.errors import Interrupted

KINDS = {
    "momentum": {"optimizer": {"name": "sgd", "options": {"lr": 0.1, "momentum": 0.9}}},
    "adamw": {"optimizer": {"name": "adamw", "options": {"lr": 0.01}}},
    "dropout": {"net": {"dropout": 0.5}},
    "batch norm": {"net": {"norm": True}},
    "average": {"settings": {"average": 0.9}, "validate": True},
    "accumulate": {"settings": {"accumulate": 3}, "net": {"dropout": 0.3}},
    "schedule": {
        "optimizer": {
            "name": "adamw",
            "options": {"lr": 0.01},
            "schedule": "one_cycle_lr",
            "schedule_options": {"max_lr": 0.05},
        }
    },
    "warm-up": {
        "optimizer": {
            "name": "sgd",
            "options": {"lr": 0.1},
            "schedule": "multi_step_lr",
            "schedule_options": {"milestones": [0.5]},
            "warmup": "4 steps",
        }
    },
    "best": {"validate": True, "net": {"dropout": 0.5}},
    "last": {"validate": True, "settings": {"keep": "last", "validate_every": 2}},
    "float32": {"net": {"dtype": torch.float32, "dropout": 0.5}, "settings": {"clip": 0.1}},
    "bfloat16": {"net": {"dtype": torch.float32}, "settings": {"precision": "bfloat16"}},
}


def identical(one, other) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(training, tmp_path, kind):
    options = KINDS[kind]
    whole, expected = training.train(tmp_path / "whole", **options)
    calls_per_step = 3 if kind == "accumulate" else 1
    for stop_at in (2, 3, 1, 6):  # within an epoch, at its end, at the next one's start
        with pytest.raises(Interrupted, match=re.escape(str(tmp_path / "cut" / "checkpoint.safetensors"))):
            training.train(tmp_path / "cut", stop_at=stop_at * calls_per_step, **options)
    parts, fitted = training.train(tmp_path / "cut", **options)
    assert identical(whole, parts)
    assert fitted.history == expected.history
    assert fitted.best == expected.best
    assert read_history(tmp_path / "cut" / "history.jsonl") == expected.history


def test_a_stop_before_every_step(training, tmp_path):
    options = KINDS["best"]
    whole, expected = training.train(**options)
    for _ in range(15):
        with pytest.raises(Interrupted):
            training.train(tmp_path, stop_at=1, **options)
    parts, fitted = training.train(tmp_path, **options)
    assert identical(whole, parts)
    assert fitted.history == expected.history


def test_a_crash_forgets_what_came_after_the_checkpoint(training, tmp_path):
    """Lines of history that were written after the last checkpoint are written once, not twice."""
    settings = {"log_every": 1, "checkpoint_every": 1e9}
    whole, expected = training.train(settings=settings)
    with pytest.raises(Interrupted):
        training.train(tmp_path, settings=settings, stop_at=4)
    state = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(Interrupted):
        training.train(tmp_path, settings=settings, stop_at=5)
    (tmp_path / "checkpoint.safetensors").write_bytes(state)
    parts, fitted = training.train(tmp_path, settings=settings)
    assert identical(whole, parts)
    assert fitted.history == expected.history


def test_a_crash_at_the_very_end_writes_no_line_twice(training, tmp_path):
    """The last checkpoint is older than the last line, and of the same step."""
    settings = {"log_every": 4, "checkpoint_every": 0}
    _, expected = training.train(tmp_path, settings=settings)
    _, fitted = training.train(tmp_path, settings=settings)
    assert fitted.history == expected.history
    assert read_history(tmp_path / "history.jsonl") == expected.history
    assert fitted.steps == 15


def test_workers_do_not_change_a_resumed_run(training, tmp_path):
    whole, _ = training.train(settings={"epochs": 1})
    with pytest.raises(Interrupted):
        training.train(tmp_path, settings={"epochs": 1}, workers=1, stop_at=3)
    parts, _ = training.train(tmp_path, settings={"epochs": 1}, workers=1)
    assert identical(whole, parts)


def test_without_a_folder_a_stop_stops(training):
    with pytest.raises(Interrupted, match=r"stopped on request at step 2 of 15$"):
        training.train(stop_at=2)


# -- the request itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_stops(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("stop_at", [2, None])
def test_what_got_no_gradient_is_known_after_a_resume(training, tmp_path, stop_at):
    """Also where nothing was left to do but to say so."""
    expected = training.train()[1].untouched
    if stop_at is None:
        training.train(tmp_path, settings={"checkpoint_every": 0})
    else:
        with pytest.raises(Interrupted):
            training.train(tmp_path, stop_at=stop_at)
    assert training.train(tmp_path)[1].untouched == expected == []
