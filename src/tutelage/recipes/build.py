"""A study from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from tutelage.data import Source, Subset, Unlabelled, fraction_of
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.recipes.arms import arm_like, models_of, other_arm, student_arm
from tutelage.recipes.assistants import with_assistants
from tutelage.recipes.control import control_arm, stage_in_control
from tutelage.recipes.form import named
from tutelage.recipes.outcomes import (
    against_controls,
    control_of,
    controls,
    is_taught,
    outcomes_of,
    pairs,
    way_of,
)
from tutelage.recipes.parts import Field, field_of, make_network
from tutelage.recipes.spec import Recipe, TransferSpec
from tutelage.recipes.teachers import make_teacher
from tutelage.recipes.walks import without_idle
from tutelage.studies import Study
from tutelage.studies.control import labelled_part
from tutelage.studies.tuning import said_of_tuning
from tutelage.tasks.problem import Problem
from tutelage.trust import trusting

__all__ = ["build", "student_of", "view_of"]


def build(
    recipe: Recipe,
    name: str,
    *,
    seeds: int | None = None,
    field: Field | None = None,
    trust: Sequence[str] = (),
) -> Study:
    """Everything that a recipe names, found, checked and put together; nothing is trained yet.

    Args:
        recipe: what to do.
        name: what to call it.
        seeds: how many, instead of the recipe's.
        field: that of the recipe's task, where it is there already: its data are then not read again.
        trust: modules outside tutelage whose names the recipe may use, `package.module`.

    Raises:
        UnknownName, RecipeError, DataError: what is wrong, and what would be right.
    """
    with trusting(trust):
        return _build(recipe, name, seeds, field)


def _build(recipe: Recipe, name: str, seeds: int | None, field: Field | None) -> Study:
    field = field or field_of(recipe.task)
    recipe = with_assistants(recipe, field)
    taught, labelled = _transfer(recipe.transfer, field.problem.train)
    student = student_arm(recipe, field, taught)
    arms, outcomes = {"student": student}, outcomes_of(recipe, student)
    primary = recipe.primary or next(iter(outcomes))
    if primary not in outcomes:
        raise UnknownName("primary outcome", primary, outcomes)
    if recipe.control is not False:
        judged = {name: one for name, one in outcomes.items() if is_taught(one, student)}
        measured = {outcome.network for outcome in judged.values()}
        arms = {"control": control_arm(recipe, student, measured, labelled, field)} | arms
        counterpart = partial(stage_in_control, recipe, student, measured)
        outcomes = controls(judged, counterpart) | outcomes | against_controls(judged)
    for other, spec in recipe.also.items():
        arms[other] = other_arm(spec, student, field) if spec.like is None else arm_like(spec, arms, field)
        against = control_of(primary, outcomes) if recipe.control is not False else None
        outcomes[other] = replace(outcomes[primary], arm=other, against=against)
    arms = without_idle(arms)
    if any(arm.needs_teacher for arm in arms.values()) and recipe.teacher is None:
        raise RecipeError("a stage asks a teacher, and the recipe has none; add `teacher: …`")
    plan = None if recipe.teacher is None else make_teacher(recipe.teacher, field)
    return Study(
        name=name,
        problem=field.problem,
        teacher=plan,
        arms=arms,
        outcomes=outcomes,
        primary=primary,
        placebo=recipe.placebo if recipe.control is not False else False,
        seeds=list(range(seeds or recipe.seeds)),
        resolved=recipe.model_dump(mode="json", exclude_unset=True),
        compare=pairs(recipe, outcomes),
        way=way_of(recipe, outcomes[primary], student),
        uncontrolled=[
            *recipe.uncontrolled,
            *said_of_tuning(recipe.tuning, control=recipe.control is not False),
        ],
        expected=recipe.expected,
    )


def student_of(
    recipe: Recipe, network: str = "student", built_by: Any = None
) -> tuple[Problem, Callable[[], nn.Module]]:
    """The problem that a recipe poses, and a function that builds one of its networks.

    Args:
        recipe: what was run.
        network: its name.
        built_by: the model that built it, as it stands beside its weights; the recipe's where that is None.
    """
    field = field_of(recipe.task)
    models = models_of(recipe)
    if built_by is None and network not in models:
        raise UnknownName("network", network, models)
    return field.problem, make_network(models[network] if built_by is None else named(built_by), field)


def view_of(recipe: Recipe, outcome: str) -> Callable[[nn.Module], nn.Module]:
    """The part of a network that an outcome is, such as one that ends at an exit."""
    outcomes = build(recipe, "view").outcomes
    view = outcomes[outcome].view if outcome in outcomes else None
    if view is None:
        raise UnknownName("view", outcome, [name for name, one in outcomes.items() if one.view is not None])
    return view


def _transfer(spec: TransferSpec, train: Source) -> tuple[Source, Source]:
    """What the student is taught on, and what of it has labels."""
    if spec == TransferSpec():
        return train, labelled_part(train)
    labels = train.labels
    if labels is None:
        raise DataError("transfer: needs a training split whose labels are known; leave it out")
    numbers = list(range(len(train)))
    if spec.omit:
        numbers = [n for n in numbers if int(labels[n]) not in spec.omit]
        if len(numbers) == len(train):
            raise DataError(f"transfer.omit: no training example has a class of {list(spec.omit)}")
    if spec.fraction < 1:
        kept = fraction_of(labels[numbers], spec.fraction, seed=spec.seed)
        numbers = [numbers[k] for k in kept]
    taught = Subset(train, numbers) if len(numbers) < len(train) else train
    if spec.labelled == 1:
        return taught, labelled_part(taught)
    seen = fraction_of(labels[numbers], spec.labelled, seed=spec.seed)
    return Unlabelled(taught, seen), Subset(taught, seen)
