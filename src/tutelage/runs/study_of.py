"""What a call of `distill` asks for, as a study; nothing is trained here."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

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
from tutelage.data.frames import RawRows
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.errors import DataError, ModelError, TutelageWarning, UnknownName
from tutelage.match import Match
from tutelage.modes import evaluating
from tutelage.runs.arguments import (
    answers_numbers,
    check_kind_of_teacher,
    read_matches,
    read_metric,
    read_seeds,
    read_settings,
    read_student,
    read_teacher,
    read_text_labels,
)
from tutelage.runs.asking import check_answers_everywhere, check_order_of_classes
from tutelage.runs.casting import as_read
from tutelage.runs.checks import asked
from tutelage.runs.fitting import (
    Answers,
    check_labels_fit,
    check_same_width,
    warn_of_answers,
    warn_of_labels,
)
from tutelage.runs.reading_frames import read_frames, refuse_labels_apart
from tutelage.runs.usual import read_optimizer, read_terms, usual_epochs
from tutelage.schemes import Alone, Offline, Scheme
from tutelage.schemes.declared import Declared, terms_of
from tutelage.studies import Arm, Outcome, Stage, Study, TeacherPlan
from tutelage.studies.control import labelled_part, without_teacher
from tutelage.studies.placebo import fitting_steps
from tutelage.tasks.exam import Exam
from tutelage.tasks.guessing import guess
from tutelage.tasks.metric import MetricExam, named_metric
from tutelage.tasks.problem import Problem
from tutelage.tasks.targets import Targets, labels_of, read_targets
from tutelage.tasks.token_labels import labels_follow, read_convention
from tutelage.teachers import SomeClasses, Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Wanted", "networks_of", "study_of"]


_RUNNING = ("out", "resume", "device", "trackers", "callbacks", "quiet")
"""Arguments of `distill` that say how it is run."""


@dataclass(frozen=True)
class Wanted:
    """The arguments of `distill` that say what is to be trained and compared; see there."""

    teacher: Any
    student: Any
    train: Any
    validation: Any = None
    test: Any = None
    target: str | Sequence[str] | None = None
    preprocessing: Any = None
    matches: Any = None
    temperature: float | None = None
    label_weight: float | None = None
    classes: Sequence[int] | None = None
    class_weights: Sequence[float] | str | None = None
    example_weights: Sequence[float] | None = None
    metric: Any = None
    epochs: int | None = None
    batch_size: int | None = None
    optimizer: Any = None
    lr: float | None = None
    seeds: int | Sequence[int] = 3
    control: bool = True
    placebo: bool | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, **arguments: Any) -> Wanted:
        """From a call's arguments: those that are no field are settings of training.

        Raises:
            UnknownName: one that is neither.
        """
        own = {each.name for each in fields(cls)} - {"training"}
        training = {name: value for name, value in arguments.items() if name not in own}
        for name in training:
            if name not in TrainSettings.model_fields:
                legal = dict.fromkeys([*sorted(own), *_RUNNING, *TrainSettings.model_fields])
                raise UnknownName("argument of distill", name, legal)
        return cls(**{name: arguments[name] for name in arguments.keys() & own}, training=training)


def study_of(wanted: Wanted) -> Study:
    """What a call of `distill` asks for, not run yet.

    The user's networks are put into the modes of teachers: call it within
    `returned_as_it_was(*networks_of(teacher))`.
    """
    framed = read_frames(
        wanted.train,
        wanted.validation,
        wanted.test,
        target=wanted.target,
        preprocessing=wanted.preprocessing,
        teacher=wanted.teacher,
    )
    if framed is None:
        refuse_labels_apart(wanted.train, wanted.validation)
        train, validation, test, names = read_text_labels(wanted.train, wanted.validation, wanted.test)
    else:
        train, validation, test, names = framed.train, framed.validation, framed.test, framed.classes
    source, loader = source_of(train, where="train")
    moved_by = {"student": read_optimizer(wanted.optimizer, wanted.lr)}
    build = read_student(wanted.student if framed is None else framed.student(wanted.student))
    reads: Mapping[str, Sequence[str]] = {}
    if framed is None:
        taught_by = read_teacher(wanted.teacher, names)
    else:
        taught_by, reads = framed.teacher(wanted.teacher)
    if wanted.classes is not None:
        taught_by = SomeClasses(taught_by, wanted.classes)
    if wanted.example_weights is not None:
        weights = read_weights(wanted.example_weights, len(source), name="example_weights")
        source = Drawn(source, weights)
    splits = as_read(_splits(source, validation, test), build, reads.get("student"))
    settings = _settings(wanted, loader, len(splits["train"]))
    build = partial(_materialised, build, splits["train"], reads.get("student"))
    given = None if wanted.matches is None else read_matches(wanted.matches)
    convention = read_convention(splits, build(), *networks_of(wanted.teacher))
    answers = _answers(wanted.teacher, taught_by, splits["train"], build, given, reads.get("student"))
    check_answers_everywhere(taught_by, splits)
    if convention == "next" or (
        convention is None and answers.of_positions and labels_follow(splits["train"])
    ):
        targets = Targets("tokens", answers.width)
        check_kind_of_teacher(taught_by, targets, names)
    else:
        targets = _targets(answers, splits, taught_by, names)
    if given is None:
        check_same_width(answers, targets)
    warn_of_answers(answers, targets)
    warn_of_labels(targets, splits)
    check_order_of_classes(taught_by, targets, splits["train"], names)
    terms = read_terms(given, targets, wanted.temperature, wanted.label_weight)
    problem = _problem(splits, targets, taught_by, names)
    problem = replace(problem, reads=reads)
    if framed is not None:
        problem = replace(problem, files=framed.files, raw=RawRows(framed.table, framed.encoding))
    if wanted.class_weights is not None:
        problem = replace(problem, train=_by_class(problem, targets, wanted.class_weights))
    if wanted.metric is not None:
        problem = replace(problem, exam=_examined_by(wanted.metric, problem, targets))
    if targets.kind in ("values", "several"):
        problem = replace(problem, chance=_guessed(problem, targets))
    control = wanted.control and _can_have_control(targets)
    study = _study(problem, taught_by, build, terms, settings, moved_by, control=control)
    return replace(
        study,
        seeds=read_seeds(wanted.seeds),
        placebo=wanted.placebo,
        resolved=_record(settings, moved_by["student"], terms),
        uncontrolled=_uncontrolled(wanted.student),
    )


def _settings(wanted: Wanted, loader: DataLoader[Any] | None, examples: int) -> TrainSettings:
    """Lengths and choices: the user's, those of the loader, and the usual length where none was given."""
    found: dict[str, Any] = {}
    if loader is not None:
        found = {"batch_size": loader.batch_size, "workers": loader.num_workers}
    if wanted.batch_size is not None:
        found["batch_size"] = wanted.batch_size
    found |= wanted.training
    if wanted.epochs is not None or "steps" not in found:
        size = int(found.get("batch_size") or 128)
        found["epochs"] = usual_epochs(examples, size) if wanted.epochs is None else wanted.epochs
    return read_settings(found)


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
        chance=targets.chance,
    )


def _guessed(problem: Problem, targets: Targets) -> float | None:
    """What the mean of the training labels reaches on the split that is reported."""
    train, held = labels_of(problem.train), labels_of(problem.reported)
    if train is None or held is None:
        return None
    return guess(problem.exam, train, held, several=targets.kind == "several")


def _examined_by(metric: Any, problem: Problem, targets: Targets) -> Exam:
    """The exam whose verdict is about what was asked for."""
    if isinstance(metric, str):
        return named_metric(problem.exam, metric, targets.kind)
    return MetricExam(problem.exam, read_metric(metric))


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


def _answers(
    came: Any,
    teacher: Teacher,
    source: Source,
    student: Callable[[], nn.Module],
    terms: Sequence[Match] | None,
    reads: Sequence[str] | None,
) -> Answers:
    """What both say about a few examples; of the teacher None where nobody looks at its logits."""
    spread = sorted({number * (len(source) - 1) // 7 for number in range(8)})
    batch, network = source.batch(spread), student().eval()
    stands_in = getattr(network, "of_any_width", False)  # for somebody who is not known yet
    if not stands_in and not any(held.requires_grad for held in network.parameters()):
        raise ModelError(
            f"{_called('student', network)} has no weight that requires a gradient, so there is nothing to "
            "train; give one that is not frozen (requires_grad_(True))"
        )
    names = (_called("teacher", came), _called("student", network))
    taught, teacher_width = None, None
    if terms is None or any(match.reads_teacher_logits or match.gate is not None for match in terms):
        who: Callable[[Batch], Outputs] = teacher.beside(network) if teacher.moves else teacher
        said = asked(who, batch, who=names[0], where="train")
        held = said.sparse if said.logits is None else said.logits
        if held is None:
            raise _without_logits("the teacher")
        taught, teacher_width = said.logits, int(held.shape[-1])
    own = None
    if not stands_in:
        ask = lambda held: capture(network, reading(held, reads).inputs)  # noqa: E731
        own = asked(ask, batch, who=names[1], where="train").logits
    if own is None and teacher_width is None:
        raise _without_logits("the student")
    return Answers(taught, own, (teacher_width, None if own is None else int(own.shape[-1])), names)


def _without_logits(who: str) -> ModelError:
    return ModelError(f"{who} answers without logits; expected a tensor, or a member called logits")


def _called(role: str, came: Any) -> str:
    """What to call a network in messages."""
    return f"the {role}" if isinstance(came, list | tuple) else f"the {role} ({type(came).__name__})"


def _targets(
    answers: Answers, splits: Mapping[str, Source], teacher: Teacher, names: Sequence[str] | None
) -> Targets:
    """What the labels are, told beside the answers of both."""
    numbers = answers_numbers(teacher) and names is None
    if numbers:
        check_same_width(answers, Targets("values", answers.width))
    else:
        check_labels_fit(answers, splits)
    try:
        targets = read_targets(splits, answers.width, numbers=numbers)
    except DataError as error:
        raise DataError(f"{error}" + (f" ({answers.said})" if answers.said else "")) from error
    check_kind_of_teacher(teacher, targets, names)
    return targets


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
