"""Changes that look at examples, give another network back, are measured, undone, and read again."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression import Calibration, Changed, Changer
from tutelage.data import Examples
from tutelage.engine import Runtime
from tutelage.errors import TutelageWarning
from tutelage.studies import Arm, Change
from tutelage.tasks.problem import Problem
from tutelage.training import train_arm
from tutelage.training.calibration import BATCH, calibration_of

X = torch.randn(150, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
SOURCE = Examples(X, Y)
PROBLEM = Problem(SOURCE, SOURCE, None, num_classes=2)


def network() -> nn.Module:
    made = nn.Linear(4, 2)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]))
        made.bias.zero_()
    return made


class Other(Changer):
    """Puts the inputs' means and the network into a new one."""

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        assert calibration is not None
        mean = torch.cat([batch.inputs for batch in calibration.batches()]).mean(0)
        return Changed(Shifted(network, mean), {"count": len(mean)})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        return Shifted(network, torch.zeros(done["count"]))


class Shifted(nn.Module):
    def __init__(self, inner: nn.Module, mean: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("mean", mean)

    def forward(self, rows: Tensor) -> Tensor:
        return self.inner(rows - self.mean)


class Turned(Changer):
    """Makes each weight its opposite, which is as bad as can be."""

    settles: ClassVar[bool] = True

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        return Changed(self.replay(network, {}), {})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        parametrize.register_parametrization(network, "weight", Minus())
        return network


class Minus(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return -weight


def timed(after: float, *, stable: bool = True) -> Any:
    """Latencies that are given, in place of this machine's."""
    both = {"before": 1.0, "after": after}
    return lambda *_, **__: {name: {"1": {"p50": p50, "stable": stable}} for name, p50 in both.items()}


@pytest.fixture(autouse=True)
def equally_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.training.changing.latencies", timed(1.0))


def walked(folder: Path, *changes: Change) -> Any:
    arm = Arm({"student": network}, changes, SOURCE)
    runtime = Runtime(cpu=True, quiet=True)
    return train_arm(arm, PROBLEM, runtime, folder, seed=0, teacher=None, label="student")


def test_calibration_shows_the_training_split_in_one_order_with_the_task_s_own_loss() -> None:
    shown = calibration_of(
        Arm({"student": network}, [], SOURCE), PROBLEM, "student", Runtime(cpu=True, quiet=True)
    )
    first, again = ([batch.ids for batch in shown.batches()] for _ in range(2))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert sorted(torch.cat(first).tolist()) == list(range(150))
    assert len(first[0]) == BATCH
    batch, made = next(iter(shown.batches())), network()
    assert shown.loss is not None
    loss = shown.loss(made, batch)
    assert loss.item() == pytest.approx(nn.functional.cross_entropy(made(batch.inputs), batch.labels).item())
    loss.backward()
    assert made.weight.grad is not None
    logits = shown.ask(made, batch).logits
    assert logits is not None
    assert torch.equal(logits, made(batch.inputs))


def test_without_labels_there_is_no_loss() -> None:
    arm = Arm({"student": network}, [], Examples(X))
    assert calibration_of(arm, PROBLEM, "student", Runtime(cpu=True, quiet=True)).loss is None


def test_another_network_may_come_back_and_is_read_again(tmp_path: Path) -> None:
    first = walked(tmp_path, Change("other", Other())).network
    assert torch.allclose(first.mean, X.mean(0))
    again = walked(tmp_path, Change("other", Other())).network
    assert torch.equal(again(X), first(X))


def test_a_change_that_was_killed_before_it_was_noted_is_made_again(tmp_path: Path) -> None:
    first = walked(tmp_path, Change("other", Other())).network
    for name in ("student.json", "student.safetensors", "trained.json"):
        (tmp_path / name).unlink()
    (tmp_path / "stage0" / "student.json").unlink()
    again = walked(tmp_path, Change("other", Other())).network
    assert torch.equal(again(X), first(X))


@pytest.mark.parametrize(("keep", "kept"), [("always", 0.0), ("if_better", 1.0)])
def test_what_loses_more_than_it_may_is_named_and_undone_if_asked(
    tmp_path: Path, keep: Any, kept: float
) -> None:
    change = Change("turned", Turned(), tolerance=0.1, keep=keep)
    with pytest.warns(TutelageWarning, match=r"turned of the student: accuracy went from 1 to 0 .* 0\.1 may"):
        done = walked(tmp_path, change)
    accuracy = (done.network.eval()(X).argmax(-1) == Y).double().mean().item()
    assert accuracy == kept
    about = done.changes[0, "student"]
    assert about["metric"] == {"before": 1.0, "after": 0.0}
    assert ("undone" in about) == (keep == "if_better")
    again = walked(tmp_path, change)
    assert torch.equal(again.network(X), done.network(X))
    assert again.changes[0, "student"] == about
    assert len(again.about["student"]["done"]) == (keep == "always")


def test_what_may_be_lost_is_not_named(tmp_path: Path) -> None:
    done = walked(tmp_path, Change("turned", Turned(), tolerance=1.0))
    assert "undone" not in done.changes[0, "student"]


def test_what_was_not_asked_about_is_not_measured(tmp_path: Path) -> None:
    assert walked(tmp_path, Change("turned", Turned())).changes[0, "student"] == {}


@pytest.mark.parametrize(
    ("after", "stable", "slower"), [(1.4, True, True), (1.4, False, False), (1.05, True, False)]
)
def test_what_makes_the_network_slower_beyond_noise_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: float, stable: bool, slower: bool
) -> None:
    monkeypatch.setattr("tutelage.training.changing.latencies", timed(after, stable=stable))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        done = walked(tmp_path, Change("turned", Turned(), tolerance=1.0, keep="if_better"))
    assert any("slower than before (1.4 times at batch 1)" in str(each.message) for each in said) == slower
    assert ("undone" in done.changes[0, "student"]) == slower
