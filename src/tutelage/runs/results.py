"""The numbers of a run, as `run --json` prints them, and the details that its page shows beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from tutelage.engine import read_history
from tutelage.evaluation import Predictions, confusion, fidelity, gap_closed, judge, warnings_about
from tutelage.runs.environment import environment
from tutelage.runs.folder import RunFolder
from tutelage.runs.measuring import (
    Measured,
    calibrations,
    conflict_of,
    cost_of_network,
    cost_of_teacher,
    measure_network,
    measure_teacher,
    reported_split,
    spread,
)
from tutelage.runs.stored import about_answers
from tutelage.runs.study import Study
from tutelage.runs.training import Trained
from tutelage.teachers import Teacher

__all__ = ["Outcome", "collect"]

_CLASSES = 100  # of a confusion that is still read


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        results: what `run --json` prints.
        details: what the page shows beside it.
    """

    results: dict[str, Any]
    details: dict[str, Any]


@dataclass(frozen=True)
class _Arms:
    trained: Mapping[str, Sequence[Trained]]
    measured: Mapping[str, Sequence[Measured]]
    teacher: Measured
    taught_by: Teacher
    teacher_seconds: float
    answering: float


def collect(
    study: Study,
    trained: Mapping[str, Sequence[Trained]],
    teacher: Teacher,
    taught: Sequence[Trained],
    folder: RunFolder,
    device: torch.device,
    answering: float,
) -> Outcome:
    """Measure everything, once, and put it together.

    Args:
        study: what was compared.
        trained: by arm and seed.
        teacher: who taught.
        taught: the networks that the teacher was made of.
        folder: where the histories lie.
        device: where to measure.
        answering: seconds that the teacher spent in answering before training, charged to those it taught.
    """
    measured = {
        name: [measure_network(one.network, study.problem, device) for one in arms]
        for name, arms in trained.items()
    }
    seconds = sum(one.seconds for one in taught) + study.teacher.seconds()
    answers = measure_teacher(teacher, study.problem, device)
    arms = _Arms(trained, measured, answers, teacher, seconds, answering)
    results: dict[str, Any] = {"recipe": study.name, "out": str(folder.path), "seeds": list(study.seeds)}
    results["teacher"] = _entry([arms.teacher], cost_of_teacher(study, teacher, device), seconds or None)
    results["teacher"]["conflict"] = conflict_of(teacher, study.problem, device)
    results["control"] = None
    for name in trained:
        entry = _arm(name, study, arms, device)
        if name in ("control", "student"):
            results[name] = entry
        else:
            results.setdefault("also", {})[name] = entry
    results["fidelity"] = spread([fidelity(m.answers, arms.teacher.answers) for m in measured["student"]])
    results["verdict"] = _verdict("student", study, arms)
    results["gap_closed"] = _gap(study, arms)
    results["warnings"] = _warnings(study, arms)
    results["expected"] = study.expected
    return Outcome(results, _details(study, arms, folder))


def _arm(name: str, study: Study, arms: _Arms, device: torch.device) -> dict[str, Any]:
    trained = arms.trained[name]
    own = sum(one.seconds for one in trained) / len(trained)
    teaching = arms.teacher_seconds + arms.answering if study.arms[name].needs_teacher else 0.0
    entry = _entry(
        arms.measured[name], cost_of_network(trained[0].network, study.problem, device), own + teaching
    )
    entry["cost"]["train_seconds_of_teacher"] = teaching
    entry["steps"] = trained[0].steps
    if name not in ("control", "student") and "control" in arms.trained:
        entry["verdict"] = _verdict(name, study, arms)
    return entry


def _entry(measured: Sequence[Measured], cost: dict[str, Any], seconds: float | None) -> dict[str, Any]:
    return {
        "quality": spread([m.quality for m in measured]),
        "calibration": calibrations(measured),
        "cost": cost | {"train_seconds": seconds},
    }


def _scores(study: Study, measured: Sequence[Measured]) -> list[float]:
    return [m.quality[study.problem.metric] for m in measured]


def _verdict(name: str, study: Study, arms: _Arms) -> dict[str, Any]:
    metric = study.problem.metric
    if "control" not in arms.measured:
        return {
            "word": "not shown",
            "metric": metric,
            "difference": None,
            "interval": None,
            "level": study.level,
            "why": "No control was trained, so nothing shows whether the teacher helped.",
            "uncontrolled": ["everything: there is no control"],
            "advice": ["train the control too"],
        }
    return judge(
        metric,
        _scores(study, arms.measured["control"]),
        _scores(study, arms.measured[name]),
        higher_is_better=study.problem.higher_is_better,
        level=study.level,
        resolution=_resolution(metric, len(reported_split(study.problem))),
        uncontrolled=[*study.uncontrolled, *_uncontrolled(name, study, arms)],
    ).as_dict()


def _resolution(metric: str, examples: int) -> float:
    """The least step by which a metric can move; 0 for one that moves smoothly."""
    return {"accuracy": 1 / examples, "errors": 1.0}.get(metric, 0.0)


def _uncontrolled(name: str, study: Study, arms: _Arms) -> list[str]:
    found = []
    ours, control = arms.trained[name][0].steps, arms.trained["control"][0].steps
    if ours != control:
        found.append(f"steps: the student made {ours} and the control {control}")
    if len(study.arms[name].source) != len(study.arms["control"].source):
        found.append(
            f"data: the student saw {len(study.arms[name].source)} examples and the control "
            f"{len(study.arms['control'].source)}"
        )
    if study.arms[name].needs_teacher:
        found.append("compute: the student's steps also ask the teacher; steps are equal, seconds are not")
        if not arms.taught_by.moves:
            found.append("the teacher: there is one, so the interval leaves out the luck of its own training")
    if study.problem.test is None:
        found.append("a test set: results are those of the validation split, which also chose the weights")
    return found


def _gap(study: Study, arms: _Arms) -> float | None:
    if "control" not in arms.measured or arms.taught_by.moves or arms.taught_by.reads_labels:
        return None
    teacher = arms.teacher.quality[study.problem.metric]
    control, student = (_scores(study, arms.measured[name]) for name in ("control", "student"))
    return gap_closed(
        teacher,
        sum(control) / len(control),
        sum(student) / len(student),
        higher_is_better=study.problem.higher_is_better,
    )


def _warnings(study: Study, arms: _Arms) -> list[str]:
    problem, teacher = study.problem, arms.taught_by
    about = about_answers(study)
    if problem.chance is None:
        return about
    control = _scores(study, arms.measured["control"]) if "control" in arms.measured else None
    unjudged = math.inf if problem.higher_is_better else -math.inf  # a copy of the student, or of the labels
    found = warnings_about(
        unjudged if teacher.moves or teacher.reads_labels else arms.teacher.quality[problem.metric],
        sum(control) / len(control) if control else None,
        problem.chance,
        metric=problem.metric,
        higher_is_better=problem.higher_is_better,
        seeds=len(study.seeds),
    )
    if teacher.reads_labels:
        found.append(
            "the teacher answers by the labels: its quality, and the student's fidelity to it, say nothing"
        )
    return found + about


def _details(study: Study, arms: _Arms, folder: RunFolder) -> dict[str, Any]:
    student = arms.measured["student"][0]
    return {
        "curves": {name: _curves(name, study, folder) for name in arms.trained},
        "calibration_curves": {
            name: held.calibration["curve"]
            for name, held in [("teacher", arms.teacher), *((n, m[0]) for n, m in arms.measured.items())]
            if name in ("teacher", "control", "student")
        },
        "fidelity_bins": fidelity(student.answers, arms.teacher.answers)["bins"],
        "confusion": _confusion(student.answers, arms.teacher.answers),
        "class_names": list(study.problem.class_names),
        "recipe_yaml": yaml.safe_dump(dict(study.resolved), sort_keys=False, allow_unicode=True),
        "environment": environment(study),
    }


def _confusion(student: Predictions, teacher: Predictions) -> list[list[int]] | None:
    """Who is taken for whom; None where there are too many classes to look at."""
    return confusion(student, teacher) if teacher.num_classes <= _CLASSES else None


def _curves(name: str, study: Study, folder: RunFolder) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "points": _joined(folder.arm(name, seed), len(study.arms[name].stages))}
        for seed in study.seeds
    ]


def _joined(arm: Path, stages: int) -> list[dict[str, Any]]:
    """The history of an arm's stages, steps counted on from one to the next."""
    points: list[dict[str, Any]] = []
    offset = 0
    for number in range(stages):
        records = read_history(arm / f"stage{number}" / "history.jsonl")
        points += [record | {"step": record["step"] + offset, "stage": number} for record in records]
        offset = points[-1]["step"] if points else 0
    return points
