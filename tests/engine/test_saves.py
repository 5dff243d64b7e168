from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.engine import Checkpoint, OptimizerSettings, Runtime, Validation
from tutelage.engine.average import WeightAverage
from tutelage.engine.division import Division
from tutelage.engine.optimizer_steps import OptimizerSteps
from tutelage.engine.saves import Parts, Saves
from tutelage.engine.selection import Selections
from tutelage.engine.shares import Shares
from tutelage.engine.tracking import History
from tutelage.engine.values import Values
from tutelage.errors import CheckpointError
from tutelage.types import Turn


def parts(width: int = 2, *, decay: float | None = None) -> Parts:
    net = nn.Linear(width, 1)
    modules, runtime = {"student": net}, Runtime(cpu=True, quiet=True)
    turns = [Turn("student", list(net.parameters()), lambda batch: {"t": net(batch.inputs).sum()})]
    average = WeightAverage(modules, decay=decay) if decay else None
    adam: dict[str, Any] = {"name": "adam", "options": {"lr": 0.1}}
    return Parts(
        turns=turns,
        modules=modules,
        optimizer_steps=OptimizerSteps(
            turns, {"student": OptimizerSettings(**adam)}, total_steps=9, clip=None
        ),
        shares=Shares(turns),
        average=average,
        values=Values(runtime, str),
        selections=Selections(
            modules, [Validation(dict, "m")], average, keep="best", folder=None, runtime=runtime
        ),
        history=History(None),
        runtime=runtime,
        division=Division(turns, runtime),
    )


def moved(**options: Any) -> Parts:
    """After a step, with something in each part."""
    held = parts(**options)
    (turn,) = held.turns
    for parameter in turn.parameters:
        parameter.grad = torch.ones_like(parameter)
    held.optimizer_steps.move(turn)
    held.values.add(1, {"student/t": torch.tensor(2.5)})
    held.shares.note(turn, {"a": 3.0, "b": 1.0})
    held.selections.each["student"].best = {"step": 1, "value": 0.5}
    if held.average is not None:
        held.average.update()
    return held


@pytest.mark.parametrize("decay", [None, 0.5])
def test_what_is_saved_is_taken_up(tmp_path, decay):
    Saves(moved(decay=decay), tmp_path, every=60).write(1, 2.5)
    drawn = torch.rand(3)
    held = parts(decay=decay)
    saves = Saves(held, tmp_path, every=60)
    assert saves.resume() == (1, 2.5)
    assert torch.equal(torch.rand(3), drawn)
    assert held.selections.best == {"step": 1, "value": 0.5}
    assert held.shares.last == {"student/a": 0.75, "student/b": 0.25}
    assert held.values.means() == {"student/t": 2.5}
    file = Checkpoint(tmp_path / "checkpoint.safetensors")
    whole = file.load()
    again = held.state(1, 2.5) | {"pending": whole["pending"], "random": whole["random"]}
    Checkpoint(tmp_path / "again.safetensors").save(again)
    assert (tmp_path / "again.safetensors").read_bytes() == file.path.read_bytes()


def test_history_goes_back_to_the_checkpoint(tmp_path):
    held = replace(moved(), history=History(tmp_path / "history.jsonl"))
    held.history.add({"step": 1})
    Saves(held, tmp_path, every=60).write(1, 2.5)
    held.history.add({"step": 2})
    again = replace(parts(), history=History(tmp_path / "history.jsonl"))
    Saves(again, tmp_path, every=60).resume()
    assert again.history.records == [{"step": 1}]


def test_without_a_checkpoint_it_starts_at_nothing(tmp_path):
    held = moved()
    assert Saves(held, tmp_path, every=60).resume() == (0, 0.0)
    assert not list(tmp_path.iterdir())


def test_without_a_folder_nothing_is_written():
    saves = Saves(moved(), None, every=0)
    saves.write(1, 1.0)
    assert (saves.where, saves.due, saves.resume()) == ("", False, (0, 0.0))


def test_one_is_due_after_so_many_seconds(tmp_path, monkeypatch):
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    saves = Saves(moved(), tmp_path, every=60)
    clock = 159.9
    assert not saves.due
    clock = 160.0
    assert saves.due
    saves.write(1, 1.0)
    assert not saves.due


@pytest.mark.parametrize(("saved", "taken"), [({"width": 3}, {}), ({}, {"decay": 0.5})])
def test_a_checkpoint_of_other_parts_is_refused(tmp_path, saved, taken):
    Saves(moved(**saved), tmp_path, every=60).write(1, 1.0)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(CheckpointError, match=rf"{path} was written by a run with another network"):
        Saves(parts(**taken), tmp_path, every=60).resume()
