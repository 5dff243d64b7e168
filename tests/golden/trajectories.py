"""Twenty steps of each scheme in float64; `python tests/golden/trajectories.py` writes them anew.

A changed trajectory means changed mathematics: the commit that rewrites one says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tutelage import schemes
from tutelage.data import Examples, Loader, uniform
from tutelage.engine import Fitted, OptimizerSettings, Runtime, TrainSettings, fit
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.schemes import (
    Adversarial,
    Alone,
    Codistillation,
    DataFree,
    DatasetDistillation,
    Exits,
    Mutual,
    Offline,
    OnPolicy,
    Scheme,
    Searched,
)
from tutelage.teachers import Frozen
from tutelage.types import UNLABELLED, Batch

FOLDER = Path(__file__).parent


def network(width: int, seed: int, classes: int = 3, features: int = 6) -> nn.Module:
    """A perceptron with weights that depend on NumPy's frozen generator alone."""
    own = np.random.RandomState(seed)
    net = nn.Sequential(nn.Linear(features, width), nn.Tanh(), nn.Linear(width, classes)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.from_numpy(own.uniform(-0.7, 0.7, tuple(parameter.shape))))
    return net


def examples(count: int = 40) -> Examples:
    """Labelled rows."""
    rows = np.random.RandomState(1).uniform(-2, 2, (count, 6))
    return Examples(torch.from_numpy(rows), torch.from_numpy(rows[:, :3].argmax(1)))


def soft() -> Match:
    """Soft targets."""
    return Match(response.SoftTarget(temperature=3.0), weight=0.9)


def hard() -> Match:
    """Labels."""
    return Match(response.HardLabel(), weight=0.1)


def hint() -> Match:
    """A hint with a projector of known weights."""
    own = np.random.RandomState(9)
    projector = nn.Linear(5, 8).double()
    with torch.no_grad():
        for parameter in projector.parameters():
            parameter.copy_(torch.from_numpy(own.uniform(-0.5, 0.5, tuple(parameter.shape))))
    return Match(feature.Hint(), guided="1", projector=projector, weight=0.5)


def critic() -> nn.Module:
    """Reads logits of three classes, and answers with one number."""
    return network(4, 11, classes=1, features=3)


class Staged(nn.Module):
    """Two hidden layers, and an answer after the first of them."""

    def __init__(self, deep: nn.Module) -> None:
        super().__init__()
        self.first, self.exit = network(6, 12, classes=6), network(4, 13)
        self.deep = deep

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits, late and early."""
        hidden = self.first(rows).tanh()
        return {"logits": self.deep(hidden), "early": self.exit(hidden)}

    def ending_at(self, exit_: str) -> nn.Module:
        """The part up to the early answer."""
        assert exit_ == "early"
        return nn.Sequential(self.first, nn.Tanh(), self.exit)


def deepest_hint() -> Match:
    """A hidden layer of the exit, and one of the deepest answer, through a projector of known weights."""
    projector = network(3, 14, classes=5, features=4)
    return Match(feature.Hint(), guided="exit.1", hint="deep.1", projector=projector, weight=0.5)


def rolled_out(network: nn.Module, batch: Batch, *, seed: int, prompt: int) -> Batch:
    """Rows that are kept for a while, and go on with a class that the network draws for them."""
    with torch.no_grad():
        sums = network(batch.inputs).softmax(-1).cumsum(-1)
    drawn = (sums < uniform(batch.ids, seed=seed, draw="class").unsqueeze(1)).sum(1)
    said = nn.functional.one_hot(drawn, num_classes=batch.inputs.shape[1] - prompt)
    inputs = torch.cat([batch.inputs[:, :prompt], said.double()], 1)
    return replace(
        batch, inputs=inputs, labels=torch.full_like(batch.labels, UNLABELLED), mask=batch.ids >= 0
    )


class Learnt(nn.Module):
    """Two rows of each class that are parameters."""

    def __init__(self) -> None:
        super().__init__()
        rows = np.random.RandomState(15).uniform(-1, 1, (6, 6))
        self.rows, self.classes = nn.Parameter(torch.from_numpy(rows)), torch.arange(3).repeat(2)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows and their classes."""
        return self.rows, self.classes


def distilled(student: nn.Module) -> DatasetDistillation:
    """Networks that look at rows, by a seed that no generator of torch draws."""
    scheme = DatasetDistillation(student, Learnt(), layer="1")
    scheme.seed = 5
    return scheme


FACTORIES: dict[type[Scheme], Callable[[nn.Module], Scheme]] = {
    Adversarial: lambda student: Adversarial(
        student, critic(), Frozen(network(8, 3)), [soft(), hard()], adversarial_weight=0.5
    ),
    Alone: lambda student: Alone(student, [Match(response.HardLabel())]),
    Codistillation: lambda student: Codistillation(
        {"student": student, "peer": network(4, 5), "other": network(7, 6)}, [soft(), hard()], every=3
    ),
    DataFree: lambda student: DataFree(
        student, Frozen(network(8, 3)), [soft()], network(4, 16, classes=6), noise=6, repeat=2
    ),
    DatasetDistillation: distilled,
    Exits: lambda deep: Exits(Staged(deep), [soft(), hard(), deepest_hint()], early=["early"]),
    Mutual: lambda student: Mutual(
        {"student": student, "peer": network(4, 5), "other": network(7, 6)}, [soft(), hard()]
    ),
    Offline: lambda student: Offline(student, Frozen(network(8, 3)), [soft(), hard(), hint()]),
    OnPolicy: lambda student: OnPolicy(
        student, Frozen(network(8, 3)), [soft(), hard()], rolled_out, share=0.5, prompt=3
    ),
    Searched: lambda student: Searched(student, Frozen(network(8, 3)), [soft(), hard()], steps=2, high=1.5),
}


def exported() -> list[type[Scheme]]:
    """Every scheme that the folder exports."""
    members = [getattr(schemes, name) for name in schemes.__all__]
    return [kind for kind in members if kind is not Scheme and issubclass(kind, Scheme)]


def make(kind: type[Scheme], seed: int = 2) -> Scheme:
    """A scheme with a small student, ready to train."""
    assert kind in FACTORIES, f"write a factory for {kind.__name__} in {__file__}"
    scheme = FACTORIES[kind](network(5, seed))
    scheme.prepare(examples().batch([0, 1]))
    return scheme


def train(scheme: Scheme, folder: Path | None = None, *, accumulate: int = 1, **options: Any) -> Fitted:
    """Train a scheme by its own turns."""
    settings = TrainSettings(steps=20, batch_size=8, accumulate=accumulate, log_every=1, checkpoint_every=0)
    optimizer = OptimizerSettings(name="sgd", options={"lr": 0.2, "momentum": 0.9})
    return fit(
        scheme.turns(),
        scheme.modules,
        Loader(examples(), batch_size=8, seed=4, accumulate=accumulate),
        settings,
        optimizers={turn.name: optimizer for turn in scheme.turns()},
        runtime=options.pop("runtime", None) or Runtime(cpu=True, quiet=True),
        folder=folder,
        **options,
    )


def trajectory(kind: type[Scheme]) -> dict[str, Any]:
    """The terms of each step, and a fingerprint of the weights after them."""
    scheme = make(kind)
    fitted = train(scheme)
    weights = {
        f"{name}.{key}": float(value.abs().sum())
        for name, module in scheme.modules.items()
        for key, value in module.state_dict().items()
    }
    return {"terms": [record["terms"] for record in fitted.history], "weights": weights}


if __name__ == "__main__":
    for one in exported():
        (FOLDER / f"{one.__name__}.json").write_text(json.dumps(trajectory(one), indent=1) + "\n")
