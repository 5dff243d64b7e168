"""Stages that train, from their parts of a recipe: schemes by name, with the networks that they ask for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import nn

from tutelage import schemes
from tutelage.data import Source
from tutelage.errors import RecipeError, UnknownName
from tutelage.match import Match
from tutelage.recipes.form import Named
from tutelage.recipes.names import find
from tutelage.recipes.parts import Field, check_optimizers, make_match, make_transform, match_spec
from tutelage.recipes.stage_spec import MatchSpec, StageSpec, TogetherSpec, TrainSpec
from tutelage.schemes import Alone, Scheme
from tutelage.schemes.declared import Declared
from tutelage.studies import Stage, Together
from tutelage.studies.control import without_teacher
from tutelage.teachers import Teacher
from tutelage.trust import kept

__all__ = ["alone_stage", "control_stage", "make_stage", "scheme_names"]

Built = Callable[[Mapping[str, nn.Module], Teacher | None], Scheme]

_GIVEN = ("teacher", "matches", "networks")
"""What a scheme gets from the study, and a recipe does not write."""


def scheme_names() -> dict[str, type[Scheme]]:
    """The schemes of our folder, by the names that recipes call them."""
    named = [name for name in schemes.__all__ if name != "Scheme"]
    return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): getattr(schemes, name) for name in named}


def make_stage(spec: StageSpec, field: Field, networks: Sequence[str], data: Source | None = None) -> Stage:
    """One training, from its part of the recipe.

    Args:
        spec: the part.
        field: the field and its problem.
        networks: the names of the arm's networks.
        data: what it trains on, in place of the arm's data.
    """
    check_optimizers(spec.optimizers)
    plan = _Plan.read(spec.scheme, field, networks)
    _check_turns(spec, plan)
    return Stage(
        scheme=plan.build,
        settings=spec.train.engine(),
        optimizers=spec.optimizers,
        transform=make_transform(spec.train, field.problem, plan.matches()),
        declared=plan.declared,
        data="made" if spec.data == "made" else data,
        teacher=_taught_by(spec.teacher, networks),
        student=_known([spec.student], networks, "student")[0],
        afresh=_afresh(spec, networks),
    )


def control_stage(
    spec: StageSpec, field: Field, networks: Sequence[str], matches: Sequence[Any] | None = None
) -> Stage:
    """The same training with what needs a teacher taken out.

    Args:
        spec: the student's.
        field: the field and its problem.
        networks: the names of the arm's networks.
        matches: what is learnt by, in place of the student's terms that need no teacher.
    """
    stage = make_stage(spec, field, networks)
    plan = _Plan.read(spec.scheme, field, networks).without_teacher(matches)
    declared = plan.declared
    own = {turn: spec.optimizers[turn] for turn in declared.turn_names if turn in spec.optimizers}
    return replace(stage, scheme=plan.build, declared=declared, optimizers=own, teacher="plan")


def alone_stage(train: TrainSpec, optimizers: Any, field: Field, scheme: Named | None = None) -> Stage:
    """A training by labels, or by a scheme that asks nobody: how teachers are trained.

    Raises:
        RecipeError: a scheme that asks a teacher.
    """
    check_optimizers(optimizers)
    plan = _Plan.read(scheme or Named(name="alone"), field, ["student"])
    if plan.declared.asks != "nobody":
        raise RecipeError(
            f"a teacher is trained by the scheme {plan.name}, whose terms ask a teacher, and it has none; "
            "train it by labels (leave `scheme` out), or distil it in its own recipe and name its weights"
        )
    return Stage(
        scheme=plan.build,
        settings=train.engine(),
        optimizers=optimizers,
        transform=make_transform(train, field.problem, plan.matches()),
        declared=plan.declared,
    )


class _Plan:
    """A scheme with its settings, ready to be built for some networks and a teacher.

    Args:
        name: as the recipe calls it.
        kind: its class.
        matches: -> its terms, fresh at each call.
        options: the rest of its settings.
        field: the field and its problem, whose offers it may ask for.
        networks: the names of the arm's networks.
    """

    def __init__(
        self,
        name: str,
        kind: type[Scheme],
        matches: Callable[[], list[Match]],
        options: Mapping[str, Any],
        field: Field,
        networks: Sequence[str],
    ) -> None:
        self.name, self.kind, self.matches = name, kind, matches
        self.options, self.field, self.networks = dict(options), field, networks
        self._check()

    @classmethod
    def read(cls, named_scheme: Named, field: Field, networks: Sequence[str]) -> _Plan:
        """From a name and its settings."""
        legal = scheme_names()
        name = named_scheme.name
        if ":" not in name and name not in legal:
            raise UnknownName("scheme", name, legal, hint="Outside code is package.module:Name.")
        kind = find("scheme", name, schemes) if ":" in name else legal[name]
        options = dict(named_scheme.settings)
        specs = _match_specs(name, options.pop("matches", None))

        def fresh() -> list[Match]:
            return field.problem.exam.alone() if specs is None else [make_match(spec) for spec in specs]

        return cls(name, kind, kept(fresh), options, field, networks)

    @property
    def declared(self) -> Declared:
        """What the scheme says of itself."""
        return self.kind.declare(self.matches(), list(self.networks), **self.options)

    def build(self, networks: Mapping[str, nn.Module], teacher: Teacher | None) -> Scheme:
        """The scheme, for these networks."""
        given: dict[str, Any] = {"teacher": teacher, "matches": self.matches(), "networks": dict(networks)}
        wanted = inspect.signature(self.kind).parameters
        held = {key: value for key, value in given.items() if key in wanted}
        for name, parameter in wanted.items():
            if _is_network(parameter):
                held[name] = networks[str(self.options.get(name, name))]
            elif name in self.field.problem.offers and name not in self.options:
                held[name] = self.field.problem.offers[name]
        rest = {key: value for key, value in self.options.items() if key not in held}
        made: Scheme = self.kind(**held, **rest)
        return made

    def without_teacher(self, matches: Sequence[Any] | None) -> _Plan:
        """The same without what needs a teacher."""
        options = self.kind.without_teacher(self.options)
        alone = self.field.problem.exam.alone
        specs = None if matches is None else _match_specs(self.name, matches)

        def fresh() -> list[Match]:
            if specs is not None:
                return [make_match(spec) for spec in specs]
            return without_teacher(self.matches(), alone)

        kind, held = (Alone, {}) if options is None else (self.kind, options)
        return _Plan(self.name, kind, kept(fresh), held, self.field, self.networks)

    def _check(self) -> None:
        """Refuse a key that the scheme does not know, and a network that is not there, beforehand."""
        self.matches()  # a wrong name is an error now, not after the teacher was trained
        wanted = inspect.signature(self.kind).parameters
        legal = [name for name in wanted if name not in _GIVEN]
        for key in self.options:
            if key not in legal:
                raise UnknownName(f"key of scheme {self.name}", key, ["matches", *legal])
        for name, parameter in wanted.items():
            if _is_network(parameter):
                network = str(self.options.get(name, name))
                if network not in self.networks and parameter.default is parameter.empty:
                    raise UnknownName(
                        f"network of scheme {self.name}:",
                        network,
                        self.networks,
                        hint=f"Build one under `networks: {{{network}: {{model: …}}}}`.",
                    )
            elif (
                parameter.default is parameter.empty
                and name not in _GIVEN
                and name not in self.options
                and name not in self.field.problem.offers
            ):
                raise RecipeError(f"scheme {self.name} needs the setting {name}")


def _check_turns(spec: StageSpec, plan: _Plan) -> None:
    """Each optimizer belongs to a turn, and each turn has one."""
    turns = plan.declared.turn_names
    for name in spec.optimizers:
        if name not in turns:
            raise UnknownName(f"turn of scheme {plan.name}", name, turns, hint="It was given an optimizer.")
    missing = [name for name in turns if name not in spec.optimizers]
    if missing:
        raise RecipeError(
            f"scheme {plan.name} moves {', '.join(turns)}, and {', '.join(missing)} has no optimizer; add "
            f"`optimizers: {{{missing[0]}: …}}`"
        )


def _taught_by(came: str | TogetherSpec, networks: Sequence[str]) -> str | Together:
    legal = ["plan", "before", *networks]
    if isinstance(came, str):
        return _known([came], legal, "teacher")[0]
    if came.drop >= len(came.by):
        raise RecipeError(
            f"teacher: {came.drop} of {len(came.by)} are left out at each step; leave at least one in (drop: "
            f"{len(came.by) - 1} or less)"
        )
    return Together(tuple(_known(came.by, legal, "teacher")), came.drop, came.temperature)


def _match_specs(name: str, came: Any) -> list[MatchSpec] | None:
    if came is None:
        return None
    if not isinstance(came, Sequence) or isinstance(came, str) or not came:
        raise RecipeError(f"matches of {name} came as {came!r}; expected a list of at least one")
    return [match_spec(term) for term in came]


def _is_network(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in ("nn.Module", nn.Module)


Names = TypeVar("Names", list[str], dict[str, int], list[str] | dict[str, int])


def _afresh(spec: StageSpec, networks: Sequence[str]) -> Sequence[str] | Mapping[str, int]:
    known = _known(spec.afresh, networks, "afresh")
    return known if isinstance(known, Mapping) else tuple(known)


def _known(names: Names, networks: Sequence[str], where: str) -> Names:
    for name in names:
        if name not in networks:
            raise UnknownName(f"network of {where}:", name, networks)
    return names
