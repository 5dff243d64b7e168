"""What is tuned: a recipe, or a call of `distill`; both become studies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from inspect import signature
from typing import Any, Protocol

from tutelage.engine import TrainSettings
from tutelage.errors import RecipeError, TutelageError, UnknownName
from tutelage.recipes import build
from tutelage.recipes.load import parse, with_values
from tutelage.recipes.parts import field_of
from tutelage.runs.distill import distill
from tutelage.runs.study_of import Wanted, study_of
from tutelage.studies import Study
from tutelage.trust import allowed
from tutelage.tuning.knobs import Knob

__all__ = ["CallSubject", "RecipeSubject", "Subject"]

Values = Mapping[str, Any]

_ROOTS = ("stages", "student", "networks", "control")
"""Parts of a recipe that may be searched: the others would change the teacher, or what validation is."""


class Subject(Protocol):
    """What is tuned.

    Args:
        name: what to call it.
        record: what it is, as plain data, to know it again.
    """

    name: str
    record: Mapping[str, Any]

    def study(self, values: Values) -> Study:
        """Everything, with some values set."""

    def joined(self, student: Values, control: Values) -> Study:
        """Everything with the student's values, and a control that has values of its own."""

    def own(self, key: str) -> Any:
        """The value that stands at a key; None where there is none."""

    def usual(self) -> dict[str, Any]:
        """What is searched where nothing was said."""

    def check(self, knobs: Sequence[Knob]) -> None:
        """Refuse keys that it does not have."""


class RecipeSubject:
    """A recipe.

    Args:
        tree: its plain data.
        name: of the recipe.
    """

    def __init__(self, tree: Mapping[str, Any], name: str) -> None:
        self.tree, self.name = copy.deepcopy(dict(tree)), name
        self.record: Mapping[str, Any] = {
            key: value for key, value in self.tree.items() if key not in ("seeds", "tuning")
        }
        self._field, self._trust = field_of(parse(self.tree).task), allowed()

    def study(self, values: Values) -> Study:
        """Everything, with some values set."""
        return self._built(with_values(self.tree, values, "search"))

    def joined(self, student: Values, control: Values) -> Study:
        """Everything with the student's values, and a control that has values of its own."""
        return self._built(self.joined_tree(student, control))

    def joined_tree(self, student: Values, control: Values) -> dict[str, Any]:
        """The same as plain data: what a control has of its own stands under `control`."""
        tree = dict(with_values(self.tree, student, "search"))
        mine = {key: value for key, value in control.items() if key.startswith("control.")}
        alone = with_values(self.tree, control, "search")
        last = [stage for stage in alone["stages"] if "scheme" in stage][-1]
        shared = [key for key in control if key not in mine]
        own = dict(tree.get("control") or {})
        if any(".optimizers." in key for key in shared):
            held = own.get("optimizers") or {}
            own["optimizers"] = copy.deepcopy(last["optimizers"]) | copy.deepcopy(held)
        trained = {key.rpartition(".train.")[2].split(".")[0] for key in shared if ".train." in key}
        if trained:
            of_last = {key: copy.deepcopy(last["train"][key]) for key in sorted(trained)}
            own["train"] = of_last | dict(own.get("train") or {})
        if own:
            tree["control"] = own
        return dict(with_values(tree, mine, "search"))

    def own(self, key: str) -> Any:
        """The value that stands at a key; None where there is none, or a mapping."""
        return dict(leaves(self.tree)).get(key)

    def usual(self) -> dict[str, Any]:
        """Temperatures and weights of terms, and learning rates, around what stands there."""
        found: dict[str, Any] = {}
        for key, value in leaves(self.tree):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or key.split(".")[0] not in ("stages", "control"):
                continue
            last = key.rpartition(".")[2]
            if last == "temperature" and ".matches." in key and value > 0:
                found[key] = (max(1.0, value / 4), max(4.0, value * 4), "log")
            elif last == "weight" and ".matches." in key and self._terms(key) > 1:
                found[key] = (0.0, max(1.0, 2.0 * value))
            elif last == "lr" and ".optimizers." in key and value > 0:
                found[key] = (value / 10, value * 10, "log")
        return found

    def check(self, knobs: Sequence[Knob]) -> None:
        """Refuse keys that lead nowhere, and those that would change the teacher or the data."""
        legal = [key for key, _ in leaves(self.tree) if key.split(".")[0] in _ROOTS]
        for knob in knobs:
            root = knob.key.split(".")[0]
            if root in type(parse(self.tree)).model_fields and root not in _ROOTS:
                raise RecipeError(
                    f"search {knob.key}: {root} is the same for all trials, which are compared on one "
                    f"validation split and taught by one teacher; what may be searched is below "
                    f"{', '.join(_ROOTS)}"
                )
            merged = isinstance(knob.choices[0] if knob.choices else None, Mapping)
            if knob.key in legal or merged:
                continue
            try:
                self.study({knob.key: knob.inside()[0]})
            except TutelageError as error:
                raise UnknownName("key of the search", knob.key, legal, hint=str(error)) from error
        self._check_all(knobs)

    def _check_all(self, knobs: Sequence[Knob]) -> None:
        for values in ({knob.key: knob.inside()[end] for knob in knobs} for end in (0, -1)):
            self.study(values)

    def _built(self, tree: Mapping[str, Any]) -> Study:
        return build(parse(tree, self.name), self.name, field=self._field, trust=self._trust)

    def _terms(self, key: str) -> int:
        """How many terms stand beside one another where a key leads."""
        where = key.split(".matches.")[0] + ".matches."
        return len(
            {each.split(".matches.")[1].split(".")[0] for each, _ in leaves(self.tree) if where in each}
        )


class CallSubject:
    """A call of `distill`.

    Args:
        call: the values of a trial -> the arguments of `distill`.
        fixed: arguments that are the same for all trials; None where `call` gives all.
    """

    def __init__(
        self, call: Callable[[Values], Mapping[str, Any]], fixed: Mapping[str, Any] | None = None
    ) -> None:
        self.name, self._call, self._fixed = "distill", call, fixed
        self.record: Mapping[str, Any] = {"call": "tutelage.distill"}

    @classmethod
    def of(cls, fixed: Mapping[str, Any]) -> CallSubject:
        """A call whose arguments are given, those that are searched apart."""
        return cls(lambda values: {**fixed, **values}, fixed)

    def study(self, values: Values) -> Study:
        """Everything, with some values set. The test split is not passed on."""
        return study_of(Wanted.of(**{**self.arguments(values), "test": None}))

    def arguments(self, values: Values) -> dict[str, Any]:
        """What `distill` is called with."""
        return dict(self._call(values))

    def joined(self, student: Values, control: Values) -> Study:
        """Everything with the student's values, and a control that has values of its own."""
        return with_control(self.study(student), self.study(control))

    def final(self, student: Values, control: Values, test: Any) -> Study:
        """The same with the test split, to be judged."""
        one, other = ({**self.arguments(values), "test": test} for values in (student, control))
        return with_control(study_of(Wanted.of(**one)), study_of(Wanted.of(**other)))

    def own(self, key: str) -> Any:
        """The value that was given for an argument, or its default."""
        if self._fixed is None:
            return None
        default = signature(distill).parameters.get(key)
        known = None if default is None or default.default is default.empty else default.default
        return self._fixed.get(key, known)

    def usual(self) -> dict[str, Any]:
        """Temperature, weight of the labels, learning rate."""
        if self._fixed is None:
            raise RecipeError(
                "search came empty; a function of settings needs one: search={'lr': (1e-4, 1e-1)}"
            )
        terms = (
            {} if self._fixed.get("matches") is not None else {"temperature": (1, 16), "label_weight": (0, 1)}
        )
        return terms | {"lr": (1e-4, 1e-1)}

    def check(self, knobs: Sequence[Knob]) -> None:
        """Refuse keys that are no argument of `distill`."""
        if self._fixed is None:
            return
        fixed = {"teacher", "student", "train", "validation", "test", "seeds", "control", "placebo", "metric"}
        ours = {each.name for each in fields(Wanted)} - {"training"}
        legal = sorted((ours | set(TrainSettings.model_fields)) - fixed)
        for knob in knobs:
            if knob.key not in legal:
                raise UnknownName("key of the search", knob.key, legal)


def with_control(study: Study, other: Study) -> Study:
    """A study whose control is that of another one."""
    against = study.outcomes[study.primary].against
    if against is None:
        return study
    name = study.outcomes[against].arm
    own = replace(other.arms[name], source=study.arms[name].source)
    return replace(study, arms={**study.arms, name: own})


def leaves(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted paths of plain data to what is no mapping and no list of them, and what stands there."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{before}.{key}" if before else str(key))
    elif isinstance(tree, list) and any(isinstance(each, Mapping) for each in tree):
        for number, value in enumerate(tree):
            yield from leaves(value, f"{before}.{number}")
    else:
        yield before, tree
