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
from tutelage.data import (
    Cast,
    ChangedLabels,
    Drawn,
    Items,
    Source,
    Subset,
    read_weights,
    reading,
    source_of,
    split,
    weights_by_class,
)
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.errors import DataError, ModelError, RecipeError, TutelageWarning, UnknownName
from tutelage.evaluation import PROBABILITIES, are_probabilities
from tutelage.losses import Loss
from tutelage.match import Match
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.runs.arguments import (
    check_kind_of_teacher,
    on_cpu,
    read_callbacks,
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
from tutelage.runs.casting import as_read
from tutelage.runs.checks import asked
from tutelage.runs.reading_frames import read_frames
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

__all__ = ["distill", "networks_of", "study_of"]


def distill(
    teacher: Any,
    student: nn.Module | Callable[..., nn.Module],
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    target: str | Sequence[str] | None = None,
    preprocessing: Any = None,
    matches: Match | Loss | Sequence[Match | Loss] | None = None,
    temperature: float | None = None,
    label_weight: float | None = None,
    class_weights: Sequence[float] | str | None = None,
    example_weights: Sequence[float] | None = None,
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
    callbacks: Callable[[Mapping[str, Any]], object] | Sequence[Callable[[Mapping[str, Any]], object]] = (),
    quiet: bool = False,
    **training: Any,
) -> Run:
    """Teach `student` by `teacher`, compare it with itself trained alone, and report.

    Args:
        teacher: a trained network, several of them (an ensemble), anything with `predict_proba`, a regressor
            (`predict`), a booster of XGBoost or LightGBM, or a `tutelage.teachers.Teacher`. Networks are not
            copied; they come back as they were. Of frames, networks read the encoded rows, all others the raw
            ones.
        student: the network to teach, or a function that builds one. A network is copied and each seed
            starts from its weights; a function gives each seed an initialisation of its own. The network that
            comes in is not changed. Of frames a function may take the number of encoded columns.
        train: a DataLoader, a map-style data set, a tuple of tensors or arrays (inputs, labels), a frame of
            pandas or polars with `target`, or a tuple of a frame and labels.
        validation: likewise; chooses the weights to keep. A tenth of `train` by default.
        test: likewise; read once, at the end. Without it results are those of the validation split.
        target: the column of a frame that holds the labels; several, where they are numbers.
        preprocessing: a transformer of scikit-learn in place of the usual one, see
            `tutelage.data.frames.Encoding`, for frames. It is fitted on the training rows unless it is
            already.
        matches: the terms that the student minimises, losses on logits among them; by default, each with
            weight 1, soft targets at temperature 4 and labels; for several labels `BinarySoftTarget` and
            `BinaryLabel`, for numbers `BoundedRegression` and `ValueLabel`.
        temperature: of the soft targets, where `matches` is not given.
        label_weight: multiplies what is learnt from labels, where `matches` is not given; 1 by default.
        class_weights: how often examples of each class are drawn in training, in proportion, for student and
            control alike; "balanced" for as if all classes had as many examples.
        example_weights: likewise, a number for each example of `train`.
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
        callbacks: a function, or several, called with each line of the history as it is written: `label`,
            `step`, `epoch`, and `terms` or `validation`. What one raises ends the run, which can be resumed.
        quiet: show no progress.
        training: further fields of `TrainSettings`: patience, precision, accumulate, clip, average, keep …

    Returns:
        the run: `.verdict`, `.student`, `.report`, `.results`, `.out`; of several processes to each.

    Raises:
        DataError, ModelError, OutputError, RecipeError, UnknownName: see `tutelage.errors`.
    """
    given = dict(locals())
    cpu = on_cpu(device)
    with returned_as_it_was(*networks_of(teacher)):
        study = study_of(
            teacher,
            student,
            train,
            validation,
            test=test,
            target=target,
            preprocessing=preprocessing,
            matches=matches,
            temperature=temperature,
            label_weight=label_weight,
            class_weights=class_weights,
            example_weights=example_weights,
            metric=metric,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            seeds=seeds,
            control=control,
            placebo=placebo,
            **training,
        )
        study = replace(study, again=call_of(distill, given, name="tutelage.distill"))
        where = Path(out) if out else None
        called = read_callbacks(callbacks)
        return run(study, where, resume=resume, quiet=quiet, cpu=cpu, trackers=trackers, callbacks=called)


def study_of(
    teacher: Any,
    student: nn.Module | Callable[..., nn.Module],
    train: Any,
    validation: Any = None,
    *,
    test: Any = None,
    target: str | Sequence[str] | None = None,
    preprocessing: Any = None,
    matches: Match | Loss | Sequence[Match | Loss] | None = None,
    temperature: float | None = None,
    label_weight: float | None = None,
    class_weights: Sequence[float] | str | None = None,
    example_weights: Sequence[float] | None = None,
    metric: Any = None,
    epochs: int = 20,
    batch_size: int | None = None,
    optimizer: OptimizerSettings | Mapping[str, Any] | str | None = None,
    lr: float | None = None,
    seeds: int | Sequence[int] = 3,
    control: bool = True,
    placebo: bool | None = None,
    **training: Any,
) -> Study:
    """What a call of `distill` asks for, not run yet; its arguments are those of `distill`.

    The user's networks are put into the modes of teachers: call it within
    `returned_as_it_was(*networks_of(teacher))`.
    """
    known = [name for name, kind in signature(distill).parameters.items() if kind.kind is kind.KEYWORD_ONLY]
    for name in training:
        if name not in TrainSettings.model_fields:
            raise UnknownName(
                "argument of distill", name, dict.fromkeys([*known, *TrainSettings.model_fields])
            )
    framed = read_frames(train, validation, test, target=target, preprocessing=preprocessing, teacher=teacher)
    if framed is None:
        train, validation, test, names = read_text_labels(train, validation, test)
    else:
        train, validation, test, names = framed.train, framed.validation, framed.test, framed.classes
    source, loader = source_of(train, where="train")
    from_loader = {"batch_size": loader.batch_size, "workers": loader.num_workers} if loader else {}
    chosen_size = {} if batch_size is None else {"batch_size": batch_size}
    settings = read_settings({"epochs": epochs} | from_loader | chosen_size | training)
    moved_by = {"student": read_optimizer(optimizer, lr)}
    if matches is not None and (temperature is not None or label_weight is not None):
        raise RecipeError(
            "temperature and label_weight belong to the usual terms, and matches were given: write them into "
            "these, tutelage.Match(losses.response.SoftTarget(temperature=…), weight=…)"
        )
    build = read_student(student if framed is None else framed.student(student))
    if framed is None:
        taught_by = read_teacher(teacher, names)
        reads: Mapping[str, Sequence[str]] = {}
    else:
        taught_by, reads = framed.teacher(teacher)
    if example_weights is not None:
        source = Drawn(source, read_weights(example_weights, len(source), name="example_weights"))
    splits = as_read(_splits(source, validation, test), build, reads.get("student"))
    build = partial(_materialised, build, splits["train"], reads.get("student"))
    given = None if matches is None else read_matches(matches)
    width = _width(taught_by, splits["train"], build, given, reads.get("student"))
    targets = read_targets(splits, width)
    check_kind_of_teacher(taught_by, targets, names)
    terms = usual_matches(targets, temperature, label_weight) if given is None else given
    problem = _problem(splits, targets, taught_by, names)
    problem = replace(problem, reads=reads, files={} if framed is None else framed.files)
    if class_weights is not None:
        problem = replace(problem, train=_by_class(problem, targets, class_weights))
    if metric is not None:
        problem = replace(problem, exam=MetricExam(problem.exam, read_metric(metric)))
    control = control and _can_have_control(targets)
    study = _study(problem, taught_by, build, terms, settings, moved_by, control=control)
    return replace(
        study,
        seeds=read_seeds(seeds),
        placebo=placebo,
        resolved=_record(settings, moved_by["student"], terms),
        uncontrolled=_uncontrolled(student),
    )


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


def _by_class(problem: Problem, targets: Targets, came: Any) -> Source:
    """The training data, drawn by the weights of classes."""
    if targets.kind != "classes" or targets.num_classes is None:
        raise DataError("class_weights came, and the labels are not one class for each example; leave it out")
    by_class = weights_by_class(problem.train, came, targets.num_classes)
    own = problem.train.weights
    return Drawn(problem.train, by_class if own is None else by_class * own)


def _materialised(build: Callable[[], nn.Module], source: Source, reads: Sequence[str] | None) -> nn.Module:
    """The network, with the shapes of lazy layers found on an example."""
    network = build()
    if any(isinstance(held, nn.parameter.UninitializedParameter) for held in network.parameters()):
        with torch.no_grad(), evaluating(network):
            capture(network, reading(source.batch([0]), reads).inputs)
    return network


def _check_later(source: Source, num_classes: int, where: str) -> None:
    """Let a source whose labels are not known beforehand look at those of each batch."""
    while isinstance(source, Subset | ChangedLabels | Cast | Drawn):
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
        stacklevel=4,
    )
    return False


def _width(
    teacher: Teacher,
    source: Source,
    student: Callable[[], nn.Module],
    terms: Sequence[Match] | None,
    reads: Sequence[str] | None,
) -> int:
    """The width of answers: the teacher's where its logits are looked at, else the student's own."""
    if terms is None or any(match.reads_teacher_logits or match.gate is not None for match in terms):
        who: Callable[[Batch], Outputs] = teacher.beside(student()) if teacher.moves else teacher
        name = "the teacher"
    else:
        network = student().eval()
        who, name = (lambda batch: capture(network, reading(batch, reads).inputs)), "the student"
    spread = sorted({number * (len(source) - 1) // 7 for number in range(8)})
    answer = asked(who, source.batch(spread), who=name, where="train")
    logits = answer.sparse if answer.logits is None else answer.logits
    if logits is None:
        raise ModelError(f"{name} answers without logits; expected a tensor, or a member called logits")
    if name == "the teacher" and answer.logits is not None and are_probabilities(answer.logits):
        warnings.warn(PROBABILITIES, TutelageWarning, stacklevel=5)
    return int(logits.shape[-1])


def networks_of(teacher: Any) -> list[nn.Module]:
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


def _uncontrolled(student: nn.Module | Callable[..., nn.Module]) -> list[str]:
    found = [
        "tuning: student and control share one set of hyperparameters, and neither was tuned in this run"
    ]
    if isinstance(student, nn.Module):
        found.append("initialisation: each seed starts from the same weights; give a function to vary them")
    return found
