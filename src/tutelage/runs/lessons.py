"""Every lesson measured after every stage, and what that says of forgetting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.evaluation import (
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
    paired_interval,
)
from tutelage.runs.examined import Examined
from tutelage.runs.measuring import measure_network, spread
from tutelage.studies import Study, fresh_networks
from tutelage.studies.lessons import lesson_stages
from tutelage.training import Trained

__all__ = ["lessons_of"]


def lessons_of(study: Study, examined: Mapping[str, Examined], device: torch.device) -> dict[str, Any]:
    """The accuracy on each lesson after each stage, for every outcome whose arm learns them in order.

    Args:
        study: what was compared.
        examined: every outcome, by name.
        device: where to measure.

    Returns:
        empty where no arm does; else `names` of the lessons, `given`, whether an example's lesson is told,
        and `outcomes` by name: `accuracy`, rows of the mean matrix, and `per_seed` with those of each seed;
        `measures` of the matrices; `forgetting` beside that of the outcome that it is held against, as the
        mean difference with its interval over paired seeds.
    """
    found: dict[str, list[tuple[int, Tensor, list[float]]]] = {}
    for name, one in examined.items():
        stages = lesson_stages(study, one.outcome.arm) if one.outcome.stage is None else []
        if stages:
            found[name] = [
                (seed, *_measured(one, trained, seed, stages, study, device))
                for seed, trained in zip(one.seeds, one.trained, strict=True)
                if trained.failed is None
            ]
    if not any(found.values()):
        return {}
    exam, names = study.problem.exam, study.problem.class_names
    outcomes = {name: _entry(held, given=exam.lesson_given) for name, held in found.items() if held}
    for name, entry in outcomes.items():
        against = study.outcomes[name].against
        if against in outcomes:
            entry["forgetting"] = _beside(name, against, found, study.level)
    return {
        "names": [", ".join(names[kind] for kind in lesson) for lesson in exam.lessons],
        "given": exam.lesson_given,
        "outcomes": outcomes,
    }


def _measured(
    one: Examined, trained: Trained, seed: int, stages: Sequence[int], study: Study, device: torch.device
) -> tuple[Tensor, list[float]]:
    """The matrix of a seed, and the accuracy of its fresh weights on each lesson."""
    exam, outcome = study.problem.exam, one.outcome

    def ask(network: nn.Module, learnt: Sequence[int]) -> list[float]:
        seen = network if outcome.view is None else outcome.view(network)
        answers = measure_network(seen.to(device), study.problem, device, name=outcome.network).answers
        return exam.by_lesson(answers, learnt)

    fresh = ask(fresh_networks(study.arms[outcome.arm], seed)[outcome.network], [])
    columns = []
    for place, stage in enumerate(stages):
        learnt = [kind for lesson in exam.lessons[: place + 1] for kind in lesson]
        columns.append(ask(trained.of(outcome.network, stage), learnt))
    return torch.tensor(columns, dtype=torch.float64).T, fresh


def _entry(held: Sequence[tuple[int, Tensor, list[float]]], *, given: bool) -> dict[str, Any]:
    matrices = [matrix for _, matrix, _ in held]
    measures = []
    for _, matrix, fresh in held:
        each = {
            "average_accuracy": average_accuracy(matrix),
            "forgetting": forgetting(matrix),
            "backward_transfer": backward_transfer(matrix),
        }
        if given:
            each["forward_transfer"] = forward_transfer(matrix, fresh)
        measures.append(each)
    return {
        "accuracy": torch.stack(matrices).mean(0).tolist(),
        "per_seed": [matrix.tolist() for matrix in matrices],
        "fresh": [fmean(values) for values in zip(*(fresh for _, _, fresh in held), strict=True)],
        "measures": spread(measures),
    }


def _beside(
    name: str, against: str, found: Mapping[str, list[tuple[int, Tensor, list[float]]]], level: float
) -> dict[str, Any]:
    """How much less an outcome forgets than the one that it is held against, over the seeds of both."""
    ours, theirs = ({seed: forgetting(matrix) for seed, matrix, _ in found[each]} for each in (name, against))
    apart = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    interval = paired_interval(apart, level=level) if len(apart) > 1 else None
    return {
        "against": against,
        "difference": fmean(apart) if apart else None,
        "interval": None if interval is None else list(interval),
        "level": level,
    }
