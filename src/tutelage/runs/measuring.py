"""Answers and costs of the networks of a run; the test split is read here, once, after every choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.answers import spread_log_probs
from tutelage.capture import capture
from tutelage.data import Source
from tutelage.evaluation import Predictions, calibration, cost, cost_of_callable, predict
from tutelage.modes import evaluating
from tutelage.runs.study import Study
from tutelage.runs.training import evaluation_loader
from tutelage.tasks.problem import Problem
from tutelage.teachers import Predictor, Stored, Teacher, conflict
from tutelage.types import Batch, Outputs

__all__ = ["Measured", "conflict_of", "measure_network", "measure_teacher", "reported_split", "spread"]

_CALIBRATION = ("ece", "nll", "brier")

_LEAST = -60.0
"""The log-probability of a class that was not stored and has no share of a rest."""


@dataclass(frozen=True)
class Measured:
    """What one trained network answers and costs.

    Args:
        answers: on the split that results are reported on.
        quality: named numbers.
        calibration: named numbers and the reliability curve.
    """

    answers: Predictions
    quality: dict[str, float]
    calibration: dict[str, Any]


def reported_split(problem: Problem) -> Source:
    """The split that results are reported on: test, or validation where there is none."""
    return problem.test if problem.test is not None else problem.validation


def measure_network(
    network: nn.Module, problem: Problem, device: torch.device, *, split: Source | None = None
) -> Measured:
    """Ask a network about the reported split, or another one."""
    asked = split if split is not None else reported_split(problem)
    with evaluating(network):
        answers = predict(
            lambda batch: capture(network, batch.inputs), evaluation_loader(asked), device=device
        )
    return Measured(answers, problem.measure(answers), calibration(answers))


def measure_teacher(teacher: Teacher, problem: Problem, device: torch.device) -> Measured:
    """Ask a teacher about the reported split; one whose answers were cut short is as good as it was then."""
    answers = predict(_Whole(teacher), evaluation_loader(reported_split(problem)), device=device)
    noted = teacher.answers.about.get("teacher", {}) if isinstance(teacher, Stored) else {}
    if "quality" in noted:
        return Measured(answers, noted["quality"], noted["calibration"])
    return Measured(answers, problem.measure(answers), calibration(answers))


def cost_of_network(network: nn.Module, problem: Problem, device: torch.device) -> dict[str, Any]:
    """What a network costs on an example of the problem, the logits that it left to others included."""
    example = problem.train.batch([0])
    with torch.no_grad(), evaluating(network):
        leaves = capture(network, example.to(device).inputs).logits is None
    asked = _WithLogits(network) if leaves else network
    return cost(asked, example.inputs, device=device, batch_sizes=_batch_sizes(example))


def conflict_of(teacher: Teacher, problem: Problem, device: torch.device) -> dict[str, Any]:
    """How far the members of a teacher contradict one another on the reported split; empty for one alone."""
    members = [one for one in getattr(teacher, "members", ()) if isinstance(one, Teacher)]
    if len(members) < 2:
        return {}
    batches = (batch.to(device) for batch in evaluation_loader(reported_split(problem)))
    found = conflict(members, batches)
    return {name: {"mean": held, "per_seed": [held]} for name, held in asdict(found).items()}


def cost_of_teacher(study: Study, teacher: Teacher, device: torch.device) -> dict[str, Any]:
    """What a teacher costs: as a network, or as the predictor that it is."""
    if isinstance(teacher, Stored) and "teacher" in teacher.answers.about:
        return dict(teacher.answers.about["teacher"]["cost"])  # as it was measured when it answered
    example = study.problem.train.batch([0])
    sizes = _batch_sizes(example)
    if isinstance(teacher, Predictor):
        nbytes = study.teacher.nbytes(teacher) if study.teacher.nbytes else None
        return cost_of_callable(
            _Asked(teacher), example.inputs, nbytes=nbytes, device=device, batch_sizes=sizes
        )
    return cost(_Asked(teacher), example.inputs, device=device, batch_sizes=sizes)


def spread(measured: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Named numbers of each seed -> name -> {"mean", "per_seed"}."""
    if names is None:
        names = [n for n in measured[0] if all(isinstance(m.get(n), int | float) for m in measured)]
    return {
        name: {"mean": fmean(m[name] for m in measured), "per_seed": [m[name] for m in measured]}
        for name in names
    }


def calibrations(measured: Sequence[Measured]) -> dict[str, Any]:
    """The calibration of each seed, spread."""
    return spread([m.calibration for m in measured], _CALIBRATION)


def _batch_sizes(example: Batch) -> tuple[int, ...]:
    """Examples to measure a cost with: one that has many positions is a batch already."""
    return (1,) if example.mask is not None and example.mask.ndim > 1 else (1, 32)


class _Whole(nn.Module):
    """A teacher that gives all logits: of classes that were not stored those of their share of the rest."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, batch: Batch) -> Outputs:
        outputs: Outputs = self.teacher(batch)
        if outputs.sparse is None:
            return outputs
        at = min(outputs.sparse.tails, default=outputs.sparse.temperature)
        log_probs = spread_log_probs(outputs.sparse, at).clamp(min=_LEAST)
        return replace(outputs, logits=(at * log_probs).float(), sparse=None)


class _Asked(nn.Module):
    """A teacher, called like a network."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        given: Any = named or (inputs[0] if len(inputs) == 1 else inputs)
        first = next(iter(named.values())) if named else inputs[0]
        ids = torch.arange(len(first), device=first.device)
        return _logits_of(self.teacher(Batch(inputs=given, ids=ids, labels=torch.zeros_like(ids))))


class _WithLogits(nn.Module):
    """A network that leaves its logits to others, made to compute them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        return _logits_of(capture(self.network, named or inputs))


def _logits_of(outputs: Outputs) -> Tensor:
    logits = outputs.head.whole() if outputs.logits is None and outputs.head else outputs.logits
    assert logits is not None
    return logits
