"""Distil in one call, from modules and data."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tutelage.data import Source, Subset, source_of, split
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.errors import ModelError, UnknownName
from tutelage.evaluation import quality
from tutelage.losses import response
from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.runs.folder import free_folder
from tutelage.runs.run import Run, run
from tutelage.runs.study import Arm, Stage, Study, TeacherPlan
from tutelage.schemes import Alone, Offline, Scheme
from tutelage.tasks.problem import Problem
from tutelage.teachers import Ensemble, Frozen, Predictor, Teacher

__all__ = ["distill"]


def distill(
    teacher: Any,
    student: nn.Module | Callable[[], nn.Module],
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    matches: Sequence[Match] | None = None,
    epochs: int = 20,
    batch_size: int | None = None,
    optimizer: OptimizerSettings | Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] = 3,
    control: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    quiet: bool = False,
    **training: Any,
) -> Run:
    """Teach `student` by `teacher`, compare it with itself trained alone, and report.

    Args:
        teacher: a trained network, several of them (an ensemble), anything with `predict_proba`, or a
            `tutelage.teachers.Teacher`.
        student: the network to teach, or a function that builds one. A network is copied and each seed
            starts from its weights; a function gives each seed an initialisation of its own. The network that
            comes in is not changed.
        train: a DataLoader, a map-style data set, or a tuple of tensors (inputs, labels).
        validation: likewise; chooses the weights to keep. A tenth of `train` by default.
        test: likewise; read once, at the end. Without it results are those of the validation split.
        matches: the terms that the student minimises; by default soft targets at temperature 4 with weight
            0.9, and labels with weight 0.1.
        epochs: passes over `train`, for student and control alike.
        batch_size: examples in a step; the DataLoader's, or 128.
        optimizer: settings for student and control; AdamW at 1e-3 with a cosine schedule by default.
        seeds: how many, or which; an interval needs two at least.
        control: train the student alone too. Without it nothing can be shown.
        out: the run's folder; `runs/distill` or the next free one by default.
        resume: go on with a run that was stopped.
        quiet: show no progress.
        training: further fields of `TrainSettings`: precision, accumulate, clip, average, keep …

    Returns:
        the run: `.verdict`, `.student`, `.report`, `.results`, `.out`.

    Raises:
        DataError, ModelError, OutputError: see `tutelage.errors`.
    """
    source, loader = source_of(train, where="train")
    problem = _problem(source, validation, test, teacher)
    size = batch_size or (loader.batch_size if loader else None) or 128
    workers = {"workers": loader.num_workers} if loader else {}
    for name in training:
        if name not in TrainSettings.model_fields:
            raise UnknownName("argument of distill", name, ["epochs", *TrainSettings.model_fields])
    settings = TrainSettings(epochs=epochs, batch_size=size, **workers | training)
    chosen = {"student": _optimizer(optimizer)}
    build = partial(copy.deepcopy, student) if isinstance(student, nn.Module) else student

    terms = list(matches) if matches is not None else _default_matches(source)
    offline = Stage(partial(_offline, terms), settings, chosen)
    arms = {"student": Arm(build, [offline], problem.train)}
    if control:
        alone = Stage(_alone, settings, chosen)
        arms = {"control": Arm(build, [alone], problem.train, needs_teacher=False)} | arms
    study = Study(
        name="distill",
        problem=problem,
        teacher=TeacherPlan(partial(_ready, _as_teacher(teacher))),
        arms=arms,
        seeds=list(range(seeds)) if isinstance(seeds, int) else list(seeds),
        resolved=_record(settings, chosen["student"], terms),
        uncontrolled=_uncontrolled(student),
    )
    finished = run(study, Path(out) if out else free_folder("distill"), resume=resume, quiet=quiet)
    assert finished is not None
    return finished


def _problem(source: Source, validation: Any, test: Any, teacher: Any) -> Problem:
    if validation is None:
        rest, part = split(len(source), 0.1, labels=source.labels)
        source, held = Subset(source, rest), Subset(source, part)
    else:
        held, _ = source_of(validation, where="validation")  # type: ignore[assignment]
    last = source_of(test, where="test")[0] if test is not None else None
    num_classes = _width(_as_teacher(teacher), source)
    return Problem(
        train=source,
        validation=held,
        test=last,
        measure=quality.classification,
        num_classes=num_classes,
        class_names=[str(number) for number in range(num_classes)],
        chance=1 / num_classes,
    )


def _width(teacher: Teacher, source: Source) -> int:
    with torch.no_grad(), evaluating(teacher):
        logits = teacher(source.batch([0])).logits
    if logits is None:
        raise ModelError("the teacher answers without logits; expected a tensor, or a member called logits")
    return int(logits.shape[-1])


def _as_teacher(teacher: Any) -> Teacher:
    if isinstance(teacher, Teacher):
        return teacher
    if isinstance(teacher, nn.Module):
        return Frozen(teacher)
    if isinstance(teacher, Sequence) and teacher:
        return Ensemble([_as_teacher(one) for one in teacher])
    return Predictor(teacher)


def _ready(teacher: Teacher, networks: Sequence[nn.Module]) -> Teacher:
    assert not networks
    return teacher


def _default_matches(source: Source) -> list[Match]:
    soft = Match(response.SoftTarget(temperature=4.0), weight=0.9)
    if source.batch([0]).labels is None:
        return [soft]
    return [soft, Match(response.HardLabel(), weight=0.1)]


def _optimizer(came: OptimizerSettings | Mapping[str, Any] | None) -> OptimizerSettings:
    if came is None:
        return OptimizerSettings(name="adamw", options={"lr": 1e-3}, schedule="cosine_annealing_lr")
    if isinstance(came, OptimizerSettings):
        return came
    name, options = next(iter(came.items()))
    return OptimizerSettings(name=name, options=dict(options or {}))


def _offline(matches: Sequence[Match], student: nn.Module, teacher: Teacher | None) -> Scheme:
    assert teacher is not None
    return Offline(student, teacher, copy.deepcopy(list(matches)))


def _alone(student: nn.Module, teacher: Teacher | None) -> Scheme:  # noqa: ARG001
    return Alone(student, [Match(response.HardLabel())])


def _record(
    settings: TrainSettings, optimizer: OptimizerSettings, matches: Sequence[Match]
) -> dict[str, Any]:
    return {
        "call": "tutelage.distill",
        "matches": [
            {"name": match.name, "loss": repr(match.loss), "weight": match.weight} for match in matches
        ],
        "optimizer": optimizer.model_dump(),
        "train": settings.model_dump(),
    }


def _uncontrolled(student: nn.Module | Callable[[], nn.Module]) -> list[str]:
    found = [
        "tuning: student and control share one set of hyperparameters, and neither was tuned in this run"
    ]
    if isinstance(student, nn.Module):
        found.append("initialisation: each seed starts from the same weights; give a function to vary them")
    return found
