"""Several processes equal one."""

from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tutelage.data import Loader
from tutelage.engine import Runtime, TrainSettings, fit, parallel
from tutelage.engine.parallel import _buckets
from tutelage.errors import DataError, MissingExtra, UnknownName


def together(start, out: Path, world: int, **train) -> None:
    """Run the small training in `world` processes that meet on the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
    processes = [start(out, common | {"RANK": str(i), "LOCAL_RANK": str(i)}, **train) for i in range(world)]
    for process in processes:
        process.join()
        assert process.exitcode == 0


def compare(training, start, out: Path, world: int, **train) -> None:
    together(start, out, world, **train)
    student, fitted = training.train(**train | {"folder": None})
    for rank in range(world):
        held = load_file(out / f"weights{rank}.safetensors")
        for name, value in student.state_dict().items():
            torch.testing.assert_close(held[name], value, rtol=1e-10, atol=1e-10)
        history = json.loads((out / f"history{rank}.json").read_text())
        for one, other in zip(history, fitted.history, strict=True):
            assert one.get("terms", {}) == pytest.approx(other.get("terms", {}), rel=1e-10)
            assert one.get("validation") == other.get("validation")


@pytest.mark.slow
def test_two_processes_equal_one(training, start, tmp_path):
    """35 examples by 8: the last step of an epoch holds 3, and the second process none of them."""
    train = {
        "optimizer": {"name": "adamw", "options": {"lr": 0.01}, "schedule": "cosine_annealing_lr"},
        "settings": {"accumulate": 2, "clip": 0.5, "average": 0.9, "checkpoint_every": 0},
        "folder": str(tmp_path / "run"),
        "validate": True,
        "count": 35,
    }
    compare(training, start, tmp_path, 2, **train)
    together(start, tmp_path / "again", 2, **train)  # the finished run is taken up, and stays as it is
    for rank in range(2):
        one, two = (load_file(path / f"weights{rank}.safetensors") for path in (tmp_path, tmp_path / "again"))
        assert all(one[name].equal(two[name]) for name in one)


@pytest.mark.slow
def test_weights_that_are_spread_train_as_whole_ones_do(training, start, tmp_path):
    """And the run goes on, whole, from the checkpoint of two processes."""
    train = {
        "optimizer": {"name": "adamw", "options": {"lr": 0.01}},
        "settings": {"sharded": True, "accumulate": 2, "clip": 0.5, "average": 0.9, "checkpoint_every": 0},
        "folder": str(tmp_path / "run"),
        "validate": True,
        "count": 35,
    }
    compare(training, start, tmp_path, 2, **train)
    longer = train | {"settings": train["settings"] | {"epochs": 4}}
    shutil.copytree(tmp_path / "run", tmp_path / "spread")
    (tmp_path / "more").mkdir()
    together(start, tmp_path / "more", 2, **longer | {"folder": str(tmp_path / "spread")})
    resumed, _ = training.train(**longer)
    alone, _ = training.train(**longer | {"folder": None})
    for one, other in zip(resumed.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    held = load_file(tmp_path / "more" / "weights1.safetensors")
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(held[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_weights_that_are_spread_move_by_sgd(training, start, tmp_path):
    """Torch has no fused form of it for them, and the checkpoint is of one process, which had it."""
    settings = {"sharded": True, "checkpoint_every": 0}
    train = {
        "optimizer": {"name": "sgd", "options": {"lr": 0.1, "momentum": 0.9}},
        "folder": str(tmp_path / "run"),
    }
    training.train(**train, settings=settings | {"epochs": 1})
    longer = train | {"settings": settings | {"epochs": 2}}
    together(start, tmp_path, 2, **longer)
    alone, _ = training.train(**longer | {"folder": None})
    held = load_file(tmp_path / "weights1.safetensors")
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(held[name], value, rtol=1e-9, atol=1e-9)


SPREAD = [(3, 6, 8)]
MORE = [pytest.param(*case, marks=pytest.mark.slow) for case in ((2, 1, 5), (2, 4, 9), (3, 1, 3), (3, 2, 5))]


@pytest.mark.parametrize(("world", "size", "count"), [*SPREAD, *MORE])
def test_steps_that_leave_processes_empty(training, start, tmp_path, world, size, count):
    """With steps of one example, all processes but one are always empty."""
    compare(training, start, tmp_path, world, count=count, settings={"batch_size": size})


def test_batches_that_were_cut_for_other_processes(training):
    loader = Loader(training.examples(5), batch_size=2, rank=0, world=2)
    with pytest.raises(DataError, match="cut for 2 processes, and 1 train on them"):
        fit([], {}, loader, TrainSettings(epochs=1), optimizers={}, runtime=Runtime(cpu=True, quiet=True))


# -- in one process ---------------------------------------------------------------------------------


def test_several_runtimes_live_in_one_process():
    first = Runtime(cpu=True, quiet=True)
    second = Runtime(cpu=False, quiet=True)
    third = Runtime(cpu=True, quiet=True)
    assert first.device.type == third.device.type == "cpu"
    assert second.world == 1
    assert second.is_main
    assert not first.stop_asked
    first.stop.asked = True
    assert first.stop_asked
    assert not third.stop_asked


def test_accelerates_own_settings_do_not_change_the_gradient(training, monkeypatch):
    plain, _ = training.train()
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    same, _ = training.train()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), same.parameters(), strict=True))


def test_exchanges_of_one_process_change_nothing():
    runtime = Runtime(cpu=True, quiet=True)
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    runtime.sum_gradients_([weight])
    runtime.same_everywhere_([nn.Linear(1, 1)])
    runtime.wait()
    runtime.finish()
    assert weight.grad.tolist() == [1, 1]
    assert runtime.total(3) == 3
    assert runtime.any(True)
    assert not runtime.any(False)
    assert runtime.share("a") == "a"
    assert runtime.gather("a") == ["a"]


def test_what_nobody_used_has_no_gradient_and_what_another_used_has_its(monkeypatch):
    """The other process: used the first two of three, with gradients of 1 and 5."""
    others = torch.tensor([1.0, 1, 0, 1, 1, 5, 5, 0, 0])
    monkeypatch.setattr(Runtime, "world", 2)
    monkeypatch.setattr(parallel.dist, "all_reduce", lambda flat: flat.add_(others))
    both, theirs, nobodys = (nn.Parameter(torch.zeros(2)) for _ in range(3))
    both.grad = torch.full((2,), 3.0)
    Runtime(cpu=True, quiet=True).sum_gradients_([both, theirs, nobodys])
    assert both.grad.tolist() == [4, 4]
    assert theirs.grad.tolist() == [5, 5]
    assert nobodys.grad is None


def test_buckets_hold_each_tensor_once_and_one_kind_each():
    tensors = [
        torch.ones(5_000_000),
        torch.ones(2, dtype=torch.float64),
        torch.ones(5_000_000),
        torch.ones(1),
    ]
    buckets = list(_buckets(tensors))
    assert sorted(id(t) for bucket in buckets for t in bucket) == sorted(map(id, tensors))
    assert all(len({t.dtype for t in bucket}) == 1 for bucket in buckets)
    assert len(buckets) == 3


# -- trackers ---------------------------------------------------------------------------------------


def test_an_unknown_tracker_gets_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown tracker 'tensorbord'\. Nearest: 'tensorboard'"):
        Runtime(cpu=True, trackers=["tensorbord"])


def test_a_tracker_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("tutelage.engine.parallel.get_available_trackers", list)
    with pytest.raises(MissingExtra, match="tensorboard"):
        Runtime(cpu=True, trackers=["tensorboard"])


def test_one_of_no_extra_says_its_own_package(monkeypatch):
    monkeypatch.setattr("tutelage.engine.parallel.get_available_trackers", list)
    with pytest.raises(MissingExtra, match=r"pip install mlflow$"):
        Runtime(cpu=True, trackers=["mlflow"])


@pytest.mark.parametrize("label", ["control, seed 0, stage 1", "größe @ 2", "a\tb|c"])
def test_names_are_those_that_every_tracker_takes(label):
    """MLflow takes letters, digits, spaces and _ - . : / alone."""
    heard = []
    runtime = Runtime(cpu=True, quiet=True)
    runtime._tracks, runtime._started = True, True
    runtime.accelerator.log = lambda numbers, step: heard.extend(numbers)
    runtime.track({"step": 1, "terms": {"student/soft_target": 0.5}}, label)
    assert heard
    assert all(re.fullmatch(r"[\w .:/-]+", name, flags=re.ASCII) for name in heard)


def test_a_label_of_several_parts_is_a_path_of_them():
    heard = []
    runtime = Runtime(cpu=True, quiet=True)
    runtime._tracks, runtime._started = True, True
    runtime.accelerator.log = lambda numbers, step: heard.extend(numbers)
    runtime.track({"step": 1, "loss": 0.5}, "control, seed 0, stage 1")
    assert heard == ["control/seed 0/stage 1/loss"]


def test_tensorboard_gets_the_history(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runtime = Runtime(cpu=True, trackers=["tensorboard"], folder=str(tmp_path), quiet=True)
    for step in (5, 10):
        runtime.track(
            {"step": step, "epoch": 1, "loss": step / 2, "terms": {"student/kl": 0.25}, "word": "x"}, "seed 0"
        )
    runtime.finish()
    (events,) = tmp_path.rglob("events.out*")
    found = EventAccumulator(str(events)).Reload()
    loss = [(event.step, event.value) for event in found.Scalars("seed 0/loss")]
    assert loss == [(5, 2.5), (10, 5.0)]
    assert sorted(found.Tags()["scalars"]) == ["seed 0/epoch", "seed 0/loss", "seed 0/terms/student/kl"]
