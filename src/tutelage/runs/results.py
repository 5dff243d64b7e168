"""The numbers of a run, as `run --json` prints them, and the details that its page shows beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from tutelage.engine import read_history
from tutelage.evaluation import Predictions, confusion, fidelity
from tutelage.report import FORMAT
from tutelage.runs.about import about
from tutelage.runs.doubtful_data import doubt_of_labels
from tutelage.runs.environment import environment
from tutelage.runs.examined import Examined, examine
from tutelage.runs.folder import RunFolder
from tutelage.runs.judging import gap, judged, last_records, sane, warnings_of
from tutelage.runs.lessons import lessons_of
from tutelage.runs.measuring import (
    Measured,
    calibrations,
    conflict_of,
    cost_of_teacher,
    latencies_of,
    measure_teacher,
    spread,
)
from tutelage.runs.scores import ExampleScores, scores_of
from tutelage.runs.way import way_of
from tutelage.studies import Study
from tutelage.studies.compared import differences
from tutelage.teachers import Frozen, Stored, Teacher
from tutelage.training import Trained

__all__ = ["Collected", "collect"]

_CLASSES = 100  # of a confusion that is still read


@dataclass(frozen=True)
class Collected:
    """What came of a run.

    Args:
        results: what `run --json` prints.
        details: what the page shows beside it.
        scores: by outcome, what each test example adds to the metric; of those where that can be told.
    """

    results: dict[str, Any]
    details: dict[str, Any]
    scores: dict[str, ExampleScores]


@dataclass(frozen=True)
class Taught:
    """The teacher of a run, and what it took.

    Args:
        teacher: who taught; None where nobody was asked.
        seconds: of its own training.
        answering: seconds that it spent in answering before training, charged to those it taught.
        validation: its metric on the validation split; None where it was not asked about it.
    """

    teacher: Teacher | None
    seconds: float = 0.0
    answering: float = 0.0
    validation: float | None = None

    @property
    def measured_alone(self) -> bool:
        """Whether its own answers say something: it is neither a copy of the student nor of the labels."""
        return self.teacher is not None and not self.teacher.moves


def collect(
    study: Study,
    trained: Mapping[str, Sequence[Trained]],
    taught: Taught,
    folder: RunFolder,
    device: torch.device,
) -> Collected:
    """Measure everything, once, and put it together.

    Args:
        study: what was compared.
        trained: by arm and seed.
        taught: by whom.
        folder: where the histories lie.
        device: where to measure.
    """
    examined = examine(study, trained, device)
    teacher = taught.teacher if taught.measured_alone else None
    answers = None if teacher is None else measure_teacher(teacher, study.problem, device)
    judging = None if teacher is None or teacher.reads_labels else answers
    primary, looks = examined[study.primary], folder.looks
    sanity = sane(study, examined, judging, _last(study, folder))
    if teacher is not None and judging is not None:
        sanity += doubt_of_labels(study.problem, teacher, judging, device)
    verdicts = judged(study, examined, looks, sanity)
    results: dict[str, Any] = {
        "format": FORMAT,
        "recipe": study.name,
        "out": str(folder.path),
        "seeds": list(study.seeds),
        "looks": looks,
        "primary": study.primary,
        "teacher": None if teacher is None else _teacher(study, teacher, answers, taught, device),
        "outcomes": {
            name: one.entry(device, _teaching(study, one, taught)) for name, one in examined.items()
        },
        "verdict": verdicts[0],
        "verdicts": verdicts,
        "gap_closed": gap(study, examined, judging),
        "sanity": sanity,
        "warnings": warnings_of(study, taught.teacher, answers),
        "expected": study.expected,
        "differences": _differences(study, examined),
        "fidelity": _fidelity(primary, answers, study),
    }
    _add_lessons(results, study, examined, device)
    if study.way:
        results["way"] = way_of(study, trained, device)
    _time(results, examined, teacher, study, device)
    outcome = study.outcomes[study.primary]
    results["student"] = results["outcomes"][study.primary]
    results["control"] = results["outcomes"].get(outcome.against)
    scores = {name: held for name, one in examined.items() if (held := scores_of(one)) is not None}
    details = _details(study, examined, answers, folder)
    if taught.validation is not None and not isinstance(taught.teacher, Stored):
        details["teacher_validation"] = {study.problem.metric: taught.validation}
    return Collected(results, details | {"about": about(study, examined, taught.teacher)}, scores)


def _add_lessons(
    results: dict[str, Any], study: Study, examined: Mapping[str, Examined], device: torch.device
) -> None:
    """What was kept of lessons that were learnt one after another: matrices, and measures as quality."""
    found = lessons_of(study, examined, device)
    results["lessons"] = found
    for name, held in found.get("outcomes", {}).items():
        results["outcomes"][name]["quality"] |= held["measures"]


def _teaching(study: Study, one: Examined, taught: Taught) -> float:
    """Seconds of the teacher's that an outcome is charged with."""
    return taught.seconds + taught.answering if study.arms[one.outcome.arm].asking else 0.0


def _teacher(
    study: Study, teacher: Teacher, answers: Measured | None, taught: Taught, device: torch.device
) -> dict[str, Any]:
    measured = [] if answers is None else [answers]
    return {
        "quality": spread([one.quality for one in measured]),
        "calibration": calibrations(measured),
        "cost": cost_of_teacher(study, teacher, device, latency=False)
        | {"train_seconds": taught.seconds or None},
        "conflict": conflict_of(teacher, study.problem, device) if measured else {},
    }


def _time(
    results: dict[str, Any],
    examined: Mapping[str, Examined],
    teacher: Teacher | None,
    study: Study,
    device: torch.device,
) -> None:
    """Time all networks in turns; of those of one structure one is timed, since they cost the same."""
    networks, same = {}, {}
    known: dict[Any, str] = {}
    for name, one in examined.items():
        if one.network is None:
            continue
        kind = (
            str(one.network),
            one.outcome.network,
            *((key, tuple(value.shape)) for key, value in one.network.state_dict().items()),
        )
        same[name] = known.setdefault(kind, name)
        networks[same[name]] = (examined[same[name]].network, one.outcome.network)
    timed = latencies_of(networks, teacher, study.problem, device)  # type: ignore[arg-type]
    written = _pace(networks, teacher, study, device)  # type: ignore[arg-type]
    for name, like in same.items():
        results["outcomes"][name]["cost"] |= {"latency_ms": timed[like], **written.get(like, {})}
    if "teacher" in timed:
        results["teacher"]["cost"] |= {"latency_ms": timed["teacher"], **written.get("teacher", {})}


def _pace(
    networks: Mapping[str, tuple[nn.Module, str]],
    teacher: Teacher | None,
    study: Study,
    device: torch.device,
) -> Mapping[str, Mapping[str, float]]:
    """How quickly those write who can."""
    if study.problem.pace is None:
        return {}
    writers = {name: network for name, (network, _) in networks.items()}
    if isinstance(teacher, Frozen):
        writers["teacher"] = teacher.network
    return study.problem.pace(writers, device)


def _fidelity(primary: Examined, answers: Measured | None, study: Study) -> dict[str, Any]:
    if answers is None or not study.problem.exam.calibrated:
        return {}
    return spread([fidelity(one.answers, answers.answers) for one in primary.finished])


def _differences(study: Study, examined: Mapping[str, Examined]) -> list[str]:
    against = study.outcomes[study.primary].against
    if against is None:
        return []
    found = differences(study, study.primary, against)
    one, other = (examined[name] for name in (study.primary, against))
    stops = any(stage.settings.patience for each in (one, other) for _, stage in each.arm.trainings)
    if stops and round(one.steps) != round(other.steps):
        found.append(
            f"steps: the {study.primary} made {one.steps:,.0f} on average and the {against} "
            f"{other.steps:,.0f}, since each ended when it got no better (patience)"
        )
    return found


def _last(study: Study, folder: RunFolder) -> dict[str, list[list[dict[str, Any]]]]:
    return {
        name: [
            last_records(folder.arm(name, seed), [number for number, _ in arm.trainings])
            for seed in study.seeds
        ]
        for name, arm in study.arms.items()
    }


def _details(
    study: Study, examined: Mapping[str, Examined], teacher: Measured | None, folder: RunFolder
) -> dict[str, Any]:
    primary = next(iter(examined[study.primary].finished), None)
    shown = {name: one.finished[0] for name, one in examined.items() if one.finished}
    curves = shown if teacher is None else {"teacher": teacher} | shown
    both = primary is not None and teacher is not None and study.problem.exam.calibrated
    details: dict[str, Any] = {
        "curves": {name: _curves(name, study, folder) for name in study.arms},
        "calibration_curves": {
            name: held.calibration["curve"] for name, held in curves.items() if held.calibration
        },
        "class_names": list(study.problem.class_names),
        "recipe_yaml": yaml.safe_dump(dict(study.resolved), sort_keys=False, allow_unicode=True),
        "environment": environment(study),
    }
    if both:
        assert primary is not None
        assert teacher is not None
        details["fidelity_bins"] = fidelity(primary.answers, teacher.answers)["bins"]
        details["confusion"] = _confusion(primary.answers, teacher.answers)
    return details


def _confusion(student: Predictions, teacher: Predictions) -> list[list[int]] | None:
    """Who is taken for whom; None where there are too many classes to look at."""
    return confusion(student, teacher) if teacher.num_classes <= _CLASSES else None


def _curves(name: str, study: Study, folder: RunFolder) -> list[dict[str, Any]]:
    stages = [number for number, _ in study.arms[name].trainings]
    return [{"seed": seed, "points": _joined(folder.arm(name, seed), stages)} for seed in study.seeds]


def _joined(arm: Path, stages: Sequence[int]) -> list[dict[str, Any]]:
    """The history of an arm's trainings, steps counted on from one to the next."""
    points: list[dict[str, Any]] = []
    offset = 0
    for number in stages:
        records = read_history(arm / f"stage{number}" / "history.jsonl")
        points += [record | {"step": record["step"] + offset, "stage": number} for record in records]
        offset = points[-1]["step"] if points else 0
    return points
