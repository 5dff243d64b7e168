"""Answers and costs of the networks of a run; the test split is read here, once, after every choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.answers import spread_log_probs
from tutelage.capture import call, capture
from tutelage.data import Source, reading
from tutelage.data.batches import tensors_in
from tutelage.evaluation import cost, cost_of_callable, latencies
from tutelage.evaluation.size import flops
from tutelage.modes import evaluating
from tutelage.studies import Study
from tutelage.tasks.exam import Answers
from tutelage.tasks.problem import Problem
from tutelage.teachers import Predictor, Stored, Teacher, conflict
from tutelage.threads import fastest_threads, threads
from tutelage.training import evaluation_loader
from tutelage.types import Batch, Outputs, map_tensors

__all__ = [
    "Measured",
    "calibrations",
    "conflict_of",
    "cost_of_network",
    "cost_of_teacher",
    "latencies_of",
    "measure_network",
    "measure_teacher",
    "spread",
]

_CALIBRATION = ("ece", "nll", "brier")

_SHOWN = 64  # validation examples by which a cost is measured that depends on them

_LEAST = -60.0
"""The log-probability of a class that was not stored and has no share of a rest."""


@dataclass(frozen=True)
class Measured:
    """What one trained network answers.

    Args:
        answers: to the split that results are reported on, as the task's exam keeps them.
        quality: named numbers.
        calibration: named numbers and the reliability curve; empty where answers are no probabilities.
    """

    answers: Answers
    quality: dict[str, float]
    calibration: dict[str, Any]


def measure_network(
    network: nn.Module,
    problem: Problem,
    device: torch.device,
    *,
    split: Source | None = None,
    name: str = "student",
) -> Measured:
    """Ask a network about the reported split, or another one.

    Args:
        network: whom.
        problem: data and exam.
        device: where.
        split: in place of the reported one.
        name: of the network in its arm, by which the task says what it reads.
    """
    exam, reads = problem.exam, problem.reads.get(name)
    batches = evaluation_loader(split if split is not None else problem.reported)

    def ask(batch: Batch) -> Outputs:
        return capture(network, reading(batch, reads).inputs, exam.layers)

    with evaluating(network):
        with torch.inference_mode():
            first = next(iter(batches)).to(device)
            count = fastest_threads(lambda: ask(first), device=device)
        with threads(count):
            answers = exam.ask(ask, batches, device=device)
    return Measured(answers, exam.measure(answers), exam.calibration(answers))


def measure_teacher(
    teacher: Teacher, problem: Problem, device: torch.device, *, split: Source | None = None
) -> Measured | None:
    """Ask a teacher about the reported split, or another one; with cut answers it is as good as it was.

    Returns:
        None for a teacher that shows layers and answers the task's question in no way: of other classes, say.
    """
    exam = problem.exam
    if exam.layers:
        teacher.watch(exam.layers)
    asked = evaluation_loader(split if split is not None else problem.reported)
    if not _answers(teacher, problem, device):
        return None
    answers = exam.ask(_Whole(teacher), asked, device=device)
    noted = teacher.answers.about.get("teacher", {}) if isinstance(teacher, Stored) else {}
    if "quality" in noted:
        return Measured(answers, noted["quality"], noted["calibration"])
    return Measured(answers, exam.measure(answers), exam.calibration(answers))


def _answers(teacher: Teacher, problem: Problem, device: torch.device) -> bool:
    """Whether a teacher tells the problem's classes apart; one that does not only shows its layers."""
    if problem.num_classes is None:
        return True
    with torch.no_grad():
        answer = teacher(problem.train.batch([0]).to(device))
    found = next((each for each in (answer.logits, answer.sparse, answer.head) if each is not None), None)
    return found is not None and int(found.shape[-1]) == problem.num_classes


def cost_of_network(
    network: nn.Module, problem: Problem, device: torch.device, *, name: str = "student", latency: bool = True
) -> dict[str, Any]:
    """What a network costs on an example of the problem, the logits that it left to others included."""
    asked, example = _callable(network, problem, device, name)
    found = cost(asked, example.inputs, device=device, batch_sizes=_batch_sizes(example), latency=latency)
    if isinstance(asked, _InTurn):
        with evaluating(asked):
            each = [flops(partial(call, asked, example.to(device).inputs)) for _ in range(asked.count)]
        found["flops"] = round(fmean(held or 0 for held in each))
    return found


def cost_of_teacher(
    study: Study, teacher: Teacher, device: torch.device, *, latency: bool = True
) -> dict[str, Any]:
    """What a teacher costs: as a network, or as the predictor that it is."""
    if isinstance(teacher, Stored) and "teacher" in teacher.answers.about:
        return dict(teacher.answers.about["teacher"]["cost"])  # as it was measured when it answered
    example = study.problem.train.batch([0])
    sizes = _batch_sizes(example)
    if isinstance(teacher, Predictor):
        nbytes = study.plan.nbytes(teacher) if study.plan.nbytes else None
        return cost_of_callable(
            _Asked(teacher), example.inputs, nbytes=nbytes, device=device, batch_sizes=sizes, latency=latency
        )
    return cost(_Asked(teacher), example.inputs, device=device, batch_sizes=sizes, latency=latency)


def latencies_of(
    networks: Mapping[str, tuple[nn.Module, str]],
    teacher: Teacher | None,
    problem: Problem,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """How long each takes, timed in turns, by name and batch size; the teacher's under `teacher`.

    Args:
        networks: by outcome, the network and its name in its arm.
        teacher: who is timed beside them; None for nobody.
        problem: whose examples.
        device: where.
    """
    named: dict[str, tuple[Any, Any]] = {}
    example = problem.train.batch([0])
    if teacher is not None and not isinstance(teacher, Stored):
        named["teacher"] = (_Asked(teacher), example.inputs)
    with evaluating(*(network for network, _ in networks.values())):
        for name, (network, role) in networks.items():
            asked, seen = _callable(network, problem, device, role)
            named[name] = (asked, seen.inputs)
        return latencies(named, device=device, batch_sizes=_batch_sizes(example))


def conflict_of(teacher: Teacher, problem: Problem, device: torch.device) -> dict[str, Any]:
    """How far the members of a teacher contradict one another on the reported split; empty for one alone."""
    members = [one for one in getattr(teacher, "members", ()) if isinstance(one, Teacher)]
    if len(members) < 2:
        return {}
    batches = (batch.to(device) for batch in evaluation_loader(problem.reported))
    found = conflict(members, batches)
    return {name: {"mean": held, "per_seed": [held]} for name, held in asdict(found).items()}


def spread(measured: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> dict[str, Any]:
    """Named numbers of each seed -> name -> {"mean", "per_seed"}."""
    if not measured:
        return {}
    if names is None:
        names = [n for n in measured[0] if all(isinstance(m.get(n), int | float) for m in measured)]
    return {
        name: {"mean": fmean(m[name] for m in measured), "per_seed": [m[name] for m in measured]}
        for name in names
    }


def calibrations(measured: Sequence[Measured]) -> dict[str, Any]:
    """The calibration of each seed, spread; empty where there is none."""
    held = [m.calibration for m in measured]
    return spread(held, _CALIBRATION) if held and all(held) else {}


def _callable(
    network: nn.Module, problem: Problem, device: torch.device, name: str
) -> tuple[nn.Module, Batch]:
    """What is timed, and what it is shown."""
    example = reading(problem.train.batch([0]), problem.reads.get(name))
    with torch.no_grad(), evaluating(network):
        leaves = capture(network, example.to(device).inputs).logits is None
    held = _WithLogits(network) if leaves else network
    if getattr(network, "varies", False):
        numbers = range(min(_SHOWN, len(problem.validation)))
        shown = reading(problem.validation.batch(numbers), problem.reads.get(name))
        held = _InTurn(held, shown.to(device).inputs, len(numbers))
    return held, example


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

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        given: Any = named or (inputs[0] if len(inputs) == 1 else inputs)
        first = next(iter(named.values())) if named else inputs[0]
        ids = torch.arange(len(first), device=first.device)
        outputs = self.teacher(Batch(inputs=given, ids=ids, labels=torch.zeros_like(ids)))
        return _logits_of(outputs) if outputs.logits is not None or outputs.head is not None else outputs


class _InTurn(nn.Module):
    """A network whose cost depends on the example: it is shown other ones at each call, as many as came.

    Args:
        network: what is called.
        inputs: the examples that it is shown, one after the other and again from the first on.
        count: how many these are.
    """

    def __init__(self, network: nn.Module, inputs: Any, count: int) -> None:
        super().__init__()
        self.network, self.inputs, self.count, self.next = network, inputs, count, 0

    def forward(self, *inputs: Any, **named: Any) -> Any:
        came = len(tensors_in(named or inputs)[0])
        numbers = [(self.next + step) % self.count for step in range(came)]
        self.next = (self.next + came) % self.count
        return call(self.network, map_tensors(self.inputs, lambda tensor: tensor[numbers]))


class _WithLogits(nn.Module):
    """A network that leaves its logits to others, made to compute them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        outputs = capture(self.network, named or inputs)
        return outputs if outputs.logits is None and outputs.head is None else _logits_of(outputs)


def _logits_of(outputs: Outputs) -> Tensor:
    logits = outputs.head.whole() if outputs.logits is None and outputs.head else outputs.logits
    assert logits is not None
    return logits
