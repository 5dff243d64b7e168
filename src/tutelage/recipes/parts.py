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
from tutelage import balancing, projectors, schemes
from tutelage.engine import OptimizerSettings, build_optimizer, build_schedule
from tutelage.errors import ModelError, RecipeError, UnknownName
from tutelage.losses import response, transforms
from tutelage.match import Match
from tutelage.recipes.names import call, check_settings, find
from tutelage.recipes.spec import MatchSpec, Named, StageSpec, checked, named
from tutelage.runs import Stage
from tutelage.schemes import Alone, Scheme
from tutelage.tasks import language, tabular, vision
from tutelage.tasks.problem import Problem
from tutelage.teachers import Teacher

__all__ = [
    "FIELDS",
    "Field",
    "check_optimizers",
    "field_of",
    "labels_alone",
    "make_match",
    "make_network",
    "make_scheme",
    "make_stage",
    "make_transform",
]

WEIGHTS, GATES = ("Ramp", "Share"), ("Confident", "Decided", "Right")
"""What may stand for a weight, and for a gate, in `tutelage.balancing`."""

FIELDS = {"language": language, "tabular": tabular, "vision": vision}
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
    """A function that builds the named network, and tells it about the data what the recipe leaves open."""
    function = find("model", model.name, field.models)
    wanted = inspect.signature(function).parameters
    known = {name: value for name, value in field.problem.network_options.items() if name in wanted}
    settings = {**known, **model.settings}
    check_settings("model", model.name, function, settings)
    return partial(_built, model.name, function, settings)


def make_stage(spec: StageSpec, field: Field) -> Stage:
    """One training, from its part of the recipe."""
    check_optimizers(spec.optimizers)
    return Stage(
        scheme=make_scheme(spec.scheme),
        settings=spec.train.engine(),
        optimizers=spec.optimizers,
        transform=make_transform(spec.train.augment, field.problem),
    )


def make_transform(settings: Mapping[str, Any], problem: Problem) -> Any:
    """The augmentation of training examples, or None."""
    if not settings:
        return None
    if problem.augment is None:
        raise RecipeError(f"augment: {dict(settings)}: this task has no augmentations; leave it out")
    return problem.augment(settings)


def check_optimizers(optimizers: Mapping[str, OptimizerSettings]) -> None:
    """Refuse names and options that torch does not know now, not after the teacher was trained."""
    for settings in optimizers.values():
        optimizer = build_optimizer(settings, [nn.Parameter(torch.zeros(1, 1))])
        build_schedule(settings, optimizer, 1_000_000)


def make_scheme(scheme: Named) -> Callable[[nn.Module, Teacher | None], Scheme]:
    """(student, teacher) -> the named scheme, with fresh matches."""
    legal = {name.lower(): getattr(schemes, name) for name in schemes.__all__ if name != "Scheme"}
    if scheme.name not in legal:
        raise UnknownName("scheme", scheme.name, legal)
    settings = dict(scheme.settings)
    matches = settings.pop("matches", [{"loss": "response.HardLabel"}])
    if not isinstance(matches, Sequence) or isinstance(matches, str) or not matches:
        raise RecipeError(f"matches of {scheme.name} came as {matches!r}; expected a list of at least one")
    terms = [_match_spec(term) for term in matches]
    for term in terms:
        make_match(term)  # a wrong name is an error now, not after the teacher was trained
    if settings:
        raise UnknownName(f"key of scheme {scheme.name}", next(iter(settings)), ["matches"])
    return partial(_scheme, legal[scheme.name], terms)


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
        weight=_weight(spec.weight),
        gate=_named_part("gate", spec.gate, balancing, GATES),
        name=spec.name,
    )


def labels_alone() -> Callable[[nn.Module, Teacher | None], Scheme]:
    """The scheme of the control: labels, and nobody else."""
    return lambda student, teacher: Alone(student, [Match(response.HardLabel())])  # noqa: ARG005


def _tasks(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if name != "models"]


def _built(name: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> nn.Module:
    network = call("model", name, function, settings)
    if not isinstance(network, nn.Module):
        raise ModelError(f"model {name} gave a {type(network).__name__}; expected a torch.nn.Module")
    return network


def _match_spec(came: Any) -> MatchSpec:
    if not isinstance(came, Mapping) or "loss" not in came:
        raise RecipeError(f"a match came as {came!r}; expected {{loss: response.SoftTarget, weight: 1.0, …}}")
    return checked(MatchSpec, came, f"the match of {came['loss']}")


def _scheme(
    kind: type[Any], terms: Sequence[MatchSpec], student: nn.Module, teacher: Teacher | None
) -> Scheme:
    matches = [make_match(term) for term in terms]
    made: Scheme = Alone(student, matches) if kind is Alone else kind(student, teacher, matches)
    return made


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
