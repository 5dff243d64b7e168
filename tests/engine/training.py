"""A small training, in one call or in a process of its own: what tests stop, kill, resume and spread."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tutelage.data import Examples, Loader
from tutelage.engine import (
    Fitted,
    OptimizerSettings,
    Runtime,
    TrainSettings,
    Validation,
    fit,
    save_weights,
    seed_everything,
    sharded,
    whole,
)
from tutelage.types import Batch, Turn


def network(*, dropout: float = 0.0, norm: bool = False, dtype: torch.dtype = torch.float64) -> nn.Module:
    """A perceptron."""
    layers: list[nn.Module] = [nn.Linear(6, 8)]
    if norm:
        layers.append(nn.BatchNorm1d(8))
    layers += [nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)]
    return nn.Sequential(*layers).to(dtype)


def examples(count: int = 37, *, dtype: torch.dtype = torch.float64) -> Examples:
    """Labelled rows."""
    own = torch.Generator().manual_seed(5)
    inputs = torch.randn(count, 6, generator=own, dtype=dtype)
    return Examples(inputs, (inputs[:, :3] * 2).argmax(1))


def mean(values: Tensor, batch: Batch) -> Tensor:
    """The mean over what counts."""
    if batch.mask is None:
        return values.mean()
    return torch.where(batch.mask, values, 0).sum() / batch.mask.sum().clamp(min=1)


def turn_of(net: nn.Module, name: str = "student") -> Turn:
    """Cross-entropy, and a penalty on large answers."""

    def terms(batch: Batch) -> dict[str, Tensor]:
        logits = net(batch.inputs)
        return {
            "labels": mean(F.cross_entropy(logits, batch.labels, reduction="none"), batch),
            "size": 0.01 * mean(logits.square().sum(1), batch),
        }

    return Turn(name, list(net.parameters()), terms)


def accuracy(net: nn.Module, data: Examples) -> float:
    """The share of right answers."""
    batch = data.batch(range(len(data)))
    with torch.no_grad():
        return float((net(batch.inputs).argmax(1) == batch.labels).double().mean())


def train(
    folder: str | Path | None = None,
    *,
    settings: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    net: dict[str, Any] | None = None,
    count: int = 37,
    workers: int = 0,
    validate: bool = False,
    stop_at: int | None = None,
    cpu: bool = True,
) -> tuple[nn.Module, Fitted]:
    """Train the perceptron; with `stop_at`, ask for a stop during that step."""
    seed_everything(11)
    student = network(**net or {})
    data = examples(count, dtype=next(student.parameters()).dtype)
    chosen = TrainSettings(**{"epochs": 3, "batch_size": 8, "log_every": 4} | (settings or {}))
    runtime = Runtime(cpu=cpu, quiet=True)
    loader = Loader(
        data,
        batch_size=chosen.batch_size,
        seed=3,
        rank=runtime.rank,
        world=runtime.world,
        accumulate=chosen.accumulate,
        workers=workers,
    )
    seed_everything(12 + runtime.rank)
    moved = sharded(student, runtime) if chosen.sharded else student
    turn = turn_of(moved)
    calls = 0

    def terms(batch: Batch) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        runtime.stop.asked = stop_at is not None and calls >= stop_at
        return turn.terms(batch)

    def measure() -> dict[str, float]:
        moved.eval()
        return {"accuracy": accuracy(moved, data)}

    fitted = fit(
        [Turn("student", turn.parameters, terms)],
        {"student": moved},
        loader,
        chosen,
        optimizers={"student": OptimizerSettings(**optimizer or {"name": "sgd", "options": {"lr": 0.1}})},
        runtime=runtime,
        validation=Validation(measure, "accuracy") if validate else None,
        folder=Path(folder) if folder else None,
    )
    if moved is not student:
        student.load_state_dict(whole(moved.state_dict()))
    return student, fitted


GIVEN: dict[str, Any] | None = globals().get("GIVEN")  # set by whoever runs this file
if GIVEN is not None:
    os.environ |= GIVEN["environment"]
    torch.set_num_threads(1)
    student, fitted = train(**GIVEN["train"])
    rank, out = os.environ.get("RANK", "0"), Path(GIVEN["out"])
    save_weights(out / f"weights{rank}.safetensors", student)
    (out / f"history{rank}.json").write_text(json.dumps(fitted.history))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
