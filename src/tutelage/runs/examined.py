"""Each outcome of a study, measured on every seed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.compression import is_settled, settle
from tutelage.evaluation import jackknife
from tutelage.runs.measuring import Measured, calibrations, cost_of_network, measure_network, spread
from tutelage.studies import Arm, Outcome, Study
from tutelage.tasks.problem import Problem
from tutelage.traced import OnnxNetwork
from tutelage.training import Trained

__all__ = ["Examined", "examine"]

_ROUNDING = 1e-3


@dataclass(frozen=True)
class Examined:
    """An outcome, measured on every seed.

    Args:
        name: of the outcome.
        outcome: which network of which arm it is.
        problem: data and exam.
        arm: whose.
        trained: what its arm came to, by seed.
        measured: the answers of each seed; None where the training broke off.
        seeds: the seeds.
    """

    name: str
    outcome: Outcome
    problem: Problem
    arm: Arm
    trained: Sequence[Trained]
    measured: Sequence[Measured | None]
    seeds: Sequence[int]

    @property
    def finished(self) -> list[Measured]:
        """The answers of the seeds that ended well."""
        return [one for one in self.measured if one is not None]

    @property
    def failed(self) -> list[int]:
        """The seeds that broke off."""
        return [seed for seed, one in zip(self.seeds, self.measured, strict=True) if one is None]

    @cached_property
    def network(self) -> nn.Module | None:
        """The network of the first seed that ended well, as it would be handed over."""
        found = next((self.of(one) for one in self.trained if one.failed is None), None)
        return found if found is None or is_settled(found) else settle(copy.deepcopy(found))

    @property
    def copies(self) -> bool:
        """Whether all seeds ended with the same weights, but for rounding."""
        networks = [self.of(one) for one in self.trained if one.failed is None]
        if len(networks) < 2:
            return False
        first, *others = [_learned(network) for network in networks]
        return all(all(_same(one, other) for one, other in zip(first, held, strict=True)) for held in others)

    def of(self, trained: Trained) -> nn.Module:
        """The network of a seed, as the outcome sees it."""
        return self.outcome.of(trained.of)

    @property
    def steps(self) -> float:
        """Updates of its network, the mean over the seeds that ended well."""
        own = self.arm.learning(self.outcome.network, self.outcome.stage)
        done = [one for one in self.trained if one.failed is None]
        return sum(one.steps[number] for one in done for number, _ in own) / max(1, len(done))

    def scores(self, *, failed: float) -> list[float]:
        """The metric of each seed; one that broke off counts as given."""
        metric = self.problem.metric
        return [failed if one is None else one.quality[metric] for one in self.measured]

    def cells(self, *, failed: float) -> Tensor | None:
        """What each example, or group of them, adds on each seed, shape [seeds, examples]."""
        known = next((row for row in self.rows if row is not None), None)
        if known is None:
            return None
        return torch.stack([torch.full_like(known, failed) if row is None else row for row in self.rows])

    @cached_property
    def rows(self) -> list[Tensor | None]:
        """What each example, or group of them, adds on each seed; None where the training broke off."""
        return [None if one is None else self._row(one) for one in self.measured]

    @property
    def num_examples(self) -> int:
        """How many examples stand behind its cells: documents, and not the rows that they are cut into."""
        exam, one = self.problem.exam, self.finished[0]
        each = exam.per_example(one.answers)
        if each is None:
            each = torch.unique(exam.clusters(one.answers, self.problem.reported))
        return len(each)

    def entry(self, device: torch.device, teaching: float) -> dict[str, Any]:
        """What the results say of it, latencies apart.

        Args:
            device: where costs are measured.
            teaching: seconds of the teacher's that its training is charged with.
        """
        arm, outcome = self.arm, self.outcome
        done = [one for one in self.trained if one.failed is None]
        own = sum(one.seconds_until(outcome.stage) for one in done) / max(1, len(done))
        network = self.network
        cost = (
            {}
            if network is None
            else cost_of_network(network, self.problem, device, name=outcome.network, latency=False)
        )
        return {
            "arm": outcome.arm,
            "network": outcome.network,
            "stage": len(arm.stages) - 1 if outcome.stage is None else outcome.stage,
            "view": None if outcome.view is None else self.name,
            "against": outcome.against,
            "steps": round(self.steps),
            "failed_seeds": self.failed,
            "quality": spread([one.quality for one in self.finished]),
            "calibration": calibrations(self.finished),
            "cost": cost | {"train_seconds": own + teaching, "train_seconds_of_teacher": teaching},
        }

    def _row(self, one: Measured) -> Tensor:
        exam = self.problem.exam
        found = exam.per_example(one.answers)
        if found is not None:
            return found
        clusters = exam.clusters(one.answers, self.problem.reported)
        return jackknife(lambda answers: exam.measure(answers)[exam.metric], one.answers, clusters)


def _learned(network: nn.Module) -> list[Tensor]:
    """Its parameters; of a network that is a file, the file."""
    if isinstance(network, OnnxNetwork):
        return [network.file.double()]
    return list(network.parameters())


def _same(one: Tensor, other: Tensor) -> bool:
    """Sums in another order differ in their last digits, and training spreads that a little."""
    return one.shape == other.shape and bool((one - other).norm() <= _ROUNDING * one.norm())


def examine(
    study: Study,
    trained: Mapping[str, Sequence[Trained]],
    device: torch.device,
    *,
    outcomes: Mapping[str, Outcome] | None = None,
) -> dict[str, Examined]:
    """Measure every outcome of a study on the reported split, once.

    Args:
        study: whose.
        trained: by arm and seed.
        device: where.
        outcomes: which ones; the study's by default.
    """
    found = {}
    for name, outcome in (study.outcomes if outcomes is None else outcomes).items():
        one = Examined(
            name, outcome, study.problem, study.arms[outcome.arm], trained[outcome.arm], [], study.seeds
        )
        measured = [
            None
            if each.failed is not None
            else measure_network(one.of(each), study.problem, device, name=outcome.network)
            for each in one.trained
        ]
        found[name] = replace(one, measured=measured)
    return found
