"""The parts of a study that recipes name: problems, networks, matches, stages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

import tutelage.losses
from tutelage import balancing, compression, projectors
from tutelage.data import Showing
from tutelage.engine import OptimizerSettings, build_optimizer, build_schedule
from tutelage.errors import ModelError, RecipeError, UnknownName
from tutelage.losses import transforms
from tutelage.match import Match
from tutelage.recipes.form import Named, checked, named
from tutelage.recipes.names import call, check_settings, find
from tutelage.recipes.stage_spec import ChangeSpec, MatchSpec, TrainSpec
from tutelage.studies import Change
from tutelage.tasks import detection, language, paired, tabular, text, vision
from tutelage.tasks.problem import Problem

__all__ = [
    "FIELDS",
    "Field",
    "changer_of",
    "check_optimizers",
    "field_of",
    "make_change",
    "make_changer",
    "make_match",
    "make_network",
    "make_transform",
    "match_spec",
]

WEIGHTS, GATES = ("Ramp", "Share"), ("Confident", "Decided", "Right")
"""What may stand for a weight, and for a gate, in `tutelage.balancing`."""

FIELDS = {
    "detection": detection,
    "language": language,
    "paired": paired,
    "tabular": tabular,
    "text": text,
    "vision": vision,
}
"""The folders of `tutelage.tasks`, by name."""


class Field:
    """A field of tasks, with the problem that a recipe poses in it.

    Args:
        models: the field's architectures.
        problem: data and metrics.
    """

    def __init__(self, models: ModuleType, problem: Problem) -> None:
        self.models, self.problem = models, problem


def field_of(task: Named) -> Field:
    """The problem that `task: {vision.classification: {…}}` poses."""
    if ":" in task.name:
        problem = call("task", task.name, find("task", task.name, vision), task.settings)
        return Field(vision.models, problem)
    name, _, kind = task.name.partition(".")
    if name not in FIELDS or kind not in _tasks(FIELDS[name]):
        legal = [f"{field}.{kind}" for field, module in FIELDS.items() for kind in _tasks(module)]
        raise UnknownName("task", task.name, legal)
    module = FIELDS[name]
    return Field(module.models, call("task", task.name, getattr(module, kind), task.settings))


def make_network(model: Named, field: Field) -> Callable[[], nn.Module]:
    """A function that builds the named network, and tells it about the data what the recipe leaves open.

    A parameter that is a network is a model too, `{name: settings}`; one called `example` gets an example's
    inputs.
    """
    function = find("model", model.name, field.models)
    wanted = inspect.signature(function).parameters
    known = {name: value for name, value in field.problem.network_options.items() if name in wanted}
    if "example" in wanted:
        known["example"] = field.problem.train.batch([0]).inputs
    settings = {**known, **model.settings}
    check_settings("model", model.name, function, settings)
    inner = {
        name: make_network(named(settings[name]), field)
        for name, parameter in wanted.items()
        if parameter.annotation in ("nn.Module", nn.Module) and name in settings
    }
    return partial(_built, model.name, function, settings, inner)


def make_change(spec: ChangeSpec) -> Change:
    """A change of networks, from its part of the recipe."""
    return Change(
        spec.change.name,
        make_changer(spec.change),
        tuple(spec.networks),
        dict(spec.change.settings),
        tolerance=spec.tolerance,
        keep=spec.keep,
    )


def make_changer(named_change: Named) -> Any:
    """What changes a network, by its name in `tutelage.compression` or outside.

    Raises:
        UnknownName, RecipeError: no such change, or settings that it refuses.
    """
    return call("change", named_change.name, _change_kind(named_change.name), named_change.settings)


def changer_of(name: str) -> Any:
    """What replays a change of that name: its settings no longer matter."""
    kind = _change_kind(name)
    return kind.__new__(kind)


def _change_kind(name: str) -> Any:
    if ":" in name:
        return find("change", name, compression)
    if name not in compression.changes:
        legal = ["scheme", *compression.changes]
        raise UnknownName("stage", name, legal, hint="A stage trains (scheme: …) or changes networks.")
    return compression.changes[name]


def make_transform(train: TrainSpec, problem: Problem, matches: Sequence[Match]) -> Any:
    """What changes training examples, or None.

    Raises:
        RecipeError: the task has no augmentations; or labels are learnt, and a mix of examples has none.
    """
    augment = None
    if train.augment:
        if problem.augment is None:
            raise RecipeError(f"augment: {dict(train.augment)}: this task has no augmentations; leave it out")
        augment = problem.augment(train.augment)
    if train.mixup is None and (
        train.teacher_sees == "same" or (augment is None and train.teacher_sees == "plain")
    ):
        return augment
    labelled = [match.name for match in matches if "labels" in match.loss.needs]
    if train.mixup is not None and labelled:
        raise RecipeError(
            f"mixup shows mixed examples, of which no label is true, and {', '.join(labelled)} learns by "
            "labels; leave out the term, or mixup"
        )
    return Showing(augment, mixup=train.mixup, teacher=train.teacher_sees)


def check_optimizers(optimizers: Mapping[str, OptimizerSettings]) -> None:
    """Refuse names and options that torch does not know now, not after the teacher was trained."""
    for settings in optimizers.values():
        optimizer = build_optimizer(settings, [nn.Parameter(torch.zeros(1, 1))])
        build_schedule(settings, optimizer, 1_000_000, per_epoch=1000)


def make_match(spec: MatchSpec) -> Match:
    """A fresh match, with a fresh loss."""
    options = dict(spec.model_extra or {})
    kind = find("loss", spec.loss, tutelage.losses)
    return Match(
        call("loss", spec.loss, kind, options),
        guided=spec.guided,
        hint=spec.hint,
        stages=spec.stages,  # type: ignore[arg-type]
        projector=_projector(spec.projector),
        transform=_named_part("transform", spec.transform, transforms, transforms.__all__),
        classes=spec.classes,
        weight=_weight(spec.weight),
        labels=spec.labels,
        gate=_named_part("gate", spec.gate, balancing, GATES),
        name=spec.name,
    )


def _tasks(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if name != "models"]


def _built(
    name: str,
    function: Callable[..., Any],
    settings: Mapping[str, Any],
    inner: Mapping[str, Callable[[], nn.Module]],
) -> nn.Module:
    held = {key: build() for key, build in inner.items()}  # networks that this one is made of
    network = call("model", name, function, {**settings, **held})
    if not isinstance(network, nn.Module):
        raise ModelError(f"model {name} gave a {type(network).__name__}; expected a torch.nn.Module")
    return network


def match_spec(came: Any) -> MatchSpec:
    """One term, from plain data.

    Raises:
        RecipeError: it names no loss, or has a key that does not fit.
    """
    if not isinstance(came, Mapping) or "loss" not in came:
        raise RecipeError(f"a match came as {came!r}; expected {{loss: response.SoftTarget, weight: 1.0, …}}")
    return checked(MatchSpec, came, f"the match of {came['loss']}")


def _weight(came: float | Named) -> Any:
    return _named_part("weight", came, balancing, WEIGHTS) if isinstance(came, Named) else came


def _named_part(what: str, spec: Named | None, folder: ModuleType, legal: Sequence[str]) -> Any:
    """A part by its name in lower case, among those that are legal, or any of `package.module:Name`."""
    if spec is None:
        return None
    by_lower = {known.lower(): known for known in legal}
    if ":" not in spec.name and spec.name not in (*by_lower, *legal):
        raise UnknownName(what, spec.name, by_lower)
    kind = find(what, by_lower.get(spec.name, spec.name), folder)
    return call(what, spec.name, kind, spec.settings)


def _projector(came: Any) -> Any:
    if came in (None, "auto", "shared"):
        return came
    legal = [known for known in projectors.__all__ if known != "fit"]
    return _named_part("projector", named(came), projectors, legal)
