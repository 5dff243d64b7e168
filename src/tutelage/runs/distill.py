"""Distil in one call, from modules and data."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.balancing import Fixed
from tutelage.capture import capture
from tutelage.data import ChangedLabels, Items, Source, Subset, source_of, split
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.errors import ModelError, RecipeError, TutelageWarning, UnknownName
from tutelage.evaluation import PROBABILITIES, are_probabilities
from tutelage.losses import Loss
from tutelage.match import Match
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.runs.arguments import (
    on_cpu,
    read_matches,
    read_metric,
    read_optimizer,
    read_seeds,
    read_settings,
    read_student,
    read_teacher,
    read_text_labels,
    usual_matches,
)
from tutelage.runs.call import call_of
from tutelage.runs.checks import asked
from tutelage.runs.run import Run, run
from tutelage.schemes import Alone, Offline, Scheme
from tutelage.schemes.declared import Declared, terms_of
from tutelage.studies import Arm, Outcome, Stage, Study, TeacherPlan
from tutelage.studies.control import labelled_part, without_teacher
from tutelage.studies.placebo import fitting_steps
from tutelage.tasks.metric import MetricExam
from tutelage.tasks.problem import Problem
from tutelage.tasks.targets import Targets, read_targets
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["distill"]


def distill(
    teacher: Any,
    student: nn.Module | Callable[[], nn.Module],
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    matches: Match | Loss | Sequence[Match | Loss] | None = None,
    temperature: float | None = None,
    label_weight: float | None = None,
    metric: Any = None,
    epochs: int = 20,
    batch_size: int | None = None,
    optimizer: OptimizerSettings | Mapping[str, Any] | str | None = None,
    lr: float | None = None,
    seeds: int | Sequence[int] = 3,
    control: bool = True,
    placebo: bool | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    trackers: Sequence[str] = (),
    quiet: bool = False,
    **training: Any,
) -> Run:
    """Teach `student` by `teacher`, compare it with itself trained alone, and report.

    Args:
        teacher: a trained network, several of them (an ensemble), anything with `predict_proba`, or a
            `tutelage.teachers.Teacher`. Networks are not copied; they come back as they were.
        student: the network to teach, or a function that builds one. A network is copied and each seed
            starts from its weights; a function gives each seed an initialisation of its own. The network that
            comes in is not changed.
        train: a DataLoader, a map-style data set, or a tuple of tensors or arrays (inputs, labels).
        validation: likewise; chooses the weights to keep. A tenth of `train` by default.
        test: likewise; read once, at the end. Without it results are those of the validation split.
        matches: the terms that the student minimises, losses on logits among them; by default, each with
            weight 1, soft targets at temperature 4 and labels; for several labels `BinarySoftTarget` and
            `BinaryLabel`, for numbers `BoundedRegression` and `ValueLabel`.
        temperature: of the soft targets, where `matches` is not given.
        label_weight: multiplies what is learnt from labels, where `matches` is not given; 1 by default.
        metric: what the verdict is about: a metric of torchmetrics, a function (outputs, labels) -> number,
            or a `tutelage.Metric` of it. By default it follows the labels: accuracy of classes, mean average
            precision of several labels, mean squared error of numbers, agreement with the teacher where
            there are none.
        epochs: passes over `train`, for student and control alike.
        batch_size: examples in a step; the DataLoader's, or 128.
        optimizer: `name`, or `{name: {option: value}}`, for student and control; AdamW at 1e-3 with a cosine
            schedule by default.
        lr: the optimiser's learning rate, in place of its own.
        seeds: how many, or which; nothing is judged below three. With `resume` and more of them, a finished
            run is gone on with.
        control: train the student alone too: the same training with the teacher's terms taken out, on the
            examples that have a label. Without it nothing can be shown.
        placebo: train it also by a teacher that only repeats the labels, to tell what the teacher knows from
            what the recipe does; by default where that costs less than a third of the run.
        out: the run's folder; `runs/distill` or the next free one by default.
        resume: go on with a run that was stopped.
        device: "cpu", though there is an accelerator; else the one that Accelerate finds.
        trackers: where numbers are logged too: "tensorboard", "wandb" and others that Accelerate knows.
        quiet: show no progress.
        training: further fields of `TrainSettings`: precision, accumulate, clip, average, keep …

    Returns:
        the run: `.verdict`, `.student`, `.report`, `.results`, `.out`; of several processes to each.

    Raises:
        DataError, ModelError, OutputError, RecipeError, UnknownName: see `tutelage.errors`.
    """
    given = dict(locals())
    known = [name for name, kind in signature(distill).parameters.items() if kind.kind is kind.KEYWORD_ONLY]
    for name in training:
        if name not in TrainSettings.model_fields:
            raise UnknownName(
                "argument of distill", name, dict.fromkeys([*known, *TrainSettings.model_fields])
            )
    train, validation, test, names = read_text_labels(train, validation, test)
    source, loader = source_of(train, where="train")
    from_loader = {"batch_size": loader.batch_size, "workers": loader.num_workers} if loader else {}
    chosen_size = {} if batch_size is None else {"batch_size": batch_size}
    settings = read_settings({"epochs": epochs} | from_loader | chosen_size | training)
    moved_by = {"student": read_optimizer(optimizer, lr)}
    cpu = on_cpu(device)
    if matches is not None and (temperature is not None or label_weight is not None):
        raise RecipeError(
            "temperature and label_weight belong to the usual terms, and matches were given: write them into "
            "these, tutelage.Match(losses.response.SoftTarget(temperature=…), weight=…)"
        )
    build = read_student(student)
    with returned_as_it_was(*_networks(teacher)):
        taught_by = read_teacher(teacher, names)
        splits = _splits(source, validation, test)
        build = partial(_materialised, build, splits["train"])
        own_terms = None if matches is None else read_matches(matches)
        width = _width(taught_by, splits["train"], build, own_terms)
        targets = read_targets(splits, width)
        terms = usual_matches(targets, temperature, label_weight) if own_terms is None else own_terms
        problem = _problem(splits, targets, taught_by, names)
        if metric is not None:
            problem = replace(problem, exam=MetricExam(problem.exam, read_metric(metric)))
        control = control and _can_have_control(targets)
        study = _study(problem, taught_by, build, terms, settings, moved_by, control=control)
        study = replace(
            study,
            seeds=read_seeds(seeds),
            placebo=placebo,
            resolved=_record(settings, moved_by["student"], terms),
            uncontrolled=_uncontrolled(student),
            again=call_of(distill, given, name="tutelage.distill"),
        )
        where = Path(out) if out else None
        return run(study, where, resume=resume, quiet=quiet, cpu=cpu, trackers=trackers)


def _study(
    problem: Problem,
    teacher: Teacher,
    build: Callable[[], nn.Module],
    terms: Sequence[Match],
    settings: TrainSettings,
    moved_by: Mapping[str, OptimizerSettings],
    *,
    control: bool,
) -> Study:
    asks = any(match.needs_teacher for match in terms)
    declared = Declared(asks="data" if asks else "nobody", terms=terms_of(terms))
    networks = {"student": build}
    taught = Stage(partial(_offline, terms), settings, moved_by, declared=declared)
    arms = {"student": Arm(networks, [taught], problem.train)}
    outcomes = {"student": Outcome("student", against="control" if control else None)}
    if control:
        kept = without_teacher(copy.deepcopy(list(terms)), problem.exam.alone)
        source = labelled_part(problem.train)
        alone = replace(
            fitting_steps(taught, problem.train, source),
            scheme=partial(_alone, kept),
            declared=Declared(asks="nobody", terms=terms_of(kept)),
        )
        arms = {"control": Arm(networks, [alone], source)} | arms
        outcomes = {"control": Outcome("control")} | outcomes
    plan = TeacherPlan(lambda _: teacher) if asks else None
    return Study("distill", problem, plan, arms, outcomes, seeds=[0])


def _splits(source: Source, validation: Any, test: Any) -> dict[str, Source]:
    """The splits by name; a tenth of the training data validates where nothing else does."""
    if validation is None:
        rest, part = split(len(source), 0.1, labels=source.labels)
        found: dict[str, Source] = {"train": Subset(source, rest), "validation": Subset(source, part)}
    else:
        found = {"train": source, "validation": source_of(validation, where="validation")[0]}
    return found | ({} if test is None else {"test": source_of(test, where="test")[0]})


def _problem(
    splits: Mapping[str, Source], targets: Targets, teacher: Teacher, names: Sequence[str] | None
) -> Problem:
    held = {where: targets.reading(source) for where, source in splits.items()}
    if targets.kind == "none":
        asked_for = {where: source for where, source in held.items() if where != "train"}
        held |= {
            where: ChangedLabels(source, partial(_named_by, teacher)) for where, source in asked_for.items()
        }
    classes = targets.num_classes
    if targets.kind == "classes":
        for where, source in held.items():
            _check_later(source, targets.width, where)
    return Problem(
        train=held["train"],
        validation=held["validation"],
        test=held.get("test"),
        exam=targets.exam,
        num_classes=classes,
        class_names=names or [str(number) for number in range(classes or 0)],
        chance=None if classes is None else 1 / classes,
    )


def _materialised(build: Callable[[], nn.Module], source: Source) -> nn.Module:
    """The network, with the shapes of lazy layers found on an example."""
    network = build()
    if any(isinstance(held, nn.parameter.UninitializedParameter) for held in network.parameters()):
        with torch.no_grad(), evaluating(network):
            capture(network, source.batch([0]).inputs)
    return network


def _check_later(source: Source, num_classes: int, where: str) -> None:
    """Let a source whose labels are not known beforehand look at those of each batch."""
    while isinstance(source, Subset | ChangedLabels):
        source = source.source
    if isinstance(source, Items) and source.num_classes is None:
        source.num_classes, source.where = num_classes, where


def _named_by(teacher: Teacher, batch: Batch) -> Tensor:
    """The class that a teacher names."""
    device = next((held.device for held in teacher.parameters()), batch.ids.device)
    with torch.no_grad():
        logits = teacher(batch.to(device)).logits
    assert logits is not None
    classes: Tensor = logits.argmax(-1).to(batch.ids.device)
    return classes


def _can_have_control(targets: Targets) -> bool:
    if targets.kind != "none":
        return True
    warnings.warn(
        "the data has no labels, so that a student alone (the control) has nothing to learn from: none is "
        "trained, the student is measured by its agreement with the teacher, and nothing shows whether the "
        "teacher helped",
        TutelageWarning,
        stacklevel=3,
    )
    return False


def _width(
    teacher: Teacher, source: Source, student: Callable[[], nn.Module], terms: Sequence[Match] | None
) -> int:
    """The width of answers: the teacher's where its logits are looked at, else the student's own."""
    if terms is None or any(match.reads_teacher_logits or match.gate is not None for match in terms):
        who: Callable[[Batch], Outputs] = teacher.beside(student()) if teacher.moves else teacher
        name = "the teacher"
    else:
        network = student().eval()
        who, name = (lambda batch: capture(network, batch.inputs)), "the student"
    spread = sorted({number * (len(source) - 1) // 7 for number in range(8)})
    answer = asked(who, source.batch(spread), who=name, where="train")
    logits = answer.sparse if answer.logits is None else answer.logits
    if logits is None:
        raise ModelError(f"{name} answers without logits; expected a tensor, or a member called logits")
    if name == "the teacher" and answer.logits is not None and are_probabilities(answer.logits):
        warnings.warn(PROBABILITIES, TutelageWarning, stacklevel=4)
    return int(logits.shape[-1])


def _networks(teacher: Any) -> list[nn.Module]:
    """The user's own networks among what came as a teacher."""
    parts = teacher if isinstance(teacher, list | tuple) else [teacher]
    return [part for part in parts if isinstance(part, nn.Module)]


def _offline(matches: Sequence[Match], networks: Mapping[str, nn.Module], teacher: Teacher | None) -> Scheme:
    return Offline(networks["student"], teacher, copy.deepcopy(list(matches)))


def _alone(
    matches: Sequence[Match],
    networks: Mapping[str, nn.Module],
    teacher: Teacher | None,  # noqa: ARG001
) -> Scheme:
    return Alone(networks["student"], copy.deepcopy(list(matches)))


def _record(
    settings: TrainSettings, optimizer: OptimizerSettings, matches: Sequence[Match]
) -> dict[str, Any]:
    return {
        "call": "tutelage.distill",
        "matches": [
            {"name": match.name, "loss": repr(match.loss), "weight": _weight(match)} for match in matches
        ],
        "optimizer": optimizer.model_dump(),
        "train": settings.model_dump(),
    }


def _weight(match: Match) -> float | str:
    return match.weight.now if isinstance(match.weight, Fixed) else repr(match.weight)


def _uncontrolled(student: nn.Module | Callable[[], nn.Module]) -> list[str]:
    found = [
        "tuning: student and control share one set of hyperparameters, and neither was tuned in this run"
    ]
    if isinstance(student, nn.Module):
        found.append("initialisation: each seed starts from the same weights; give a function to vary them")
    return found
