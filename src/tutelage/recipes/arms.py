"""Walks of networks through stages, from a recipe: the student's and further ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tutelage import corrections
from tutelage.data import Source, of_classes
from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes.form import Named
from tutelage.recipes.names import call
from tutelage.recipes.parts import Field, make_change, make_network
from tutelage.recipes.schemes import make_stage
from tutelage.recipes.spec import ArmSpec, Recipe
from tutelage.recipes.stage_spec import ChangeSpec, StageSpec
from tutelage.recipes.walks import check_teachers
from tutelage.studies import Arm, Change, Stage
from tutelage.studies.control import labelled_part

__all__ = ["arm_like", "make_part", "models_of", "other_arm", "student_arm"]


def models_of(recipe: Recipe) -> dict[str, Named]:
    """The networks' models, by name; the student first."""
    if "student" in recipe.networks:
        raise RecipeError("networks: the name student is taken; choose another")
    return {"student": recipe.student.model} | {name: each.model for name, each in recipe.networks.items()}


def student_arm(recipe: Recipe, field: Field, source: Source) -> Arm:
    """The arm that the recipe is about."""
    models = models_of(recipe)
    names = list(models)
    stages = [make_part(stage, field, names, source) for stage in recipe.stages]
    return check_teachers(
        Arm(
            {name: make_network(model, field) for name, model in models.items()},
            stages,
            source,
            _correction(recipe.correct, field),
            built_by={name: {model.name: model.settings} for name, model in models.items()},
        )
    )


def make_part(
    spec: StageSpec | ChangeSpec, field: Field, names: Sequence[str], source: Source
) -> Stage | Change:
    """One part of an arm that trains on a source."""
    if isinstance(spec, ChangeSpec):
        change = make_change(spec)
        for name in change.networks:
            if name not in names:
                raise UnknownName("network of a stage:", name, names)
        return change
    own = {"train": field.problem.train, "labelled": labelled_part(source)}.get(spec.data)
    part = _part(spec, source if own is None else own)
    return make_stage(spec, field, names, own if part is None else part)


def _part(spec: StageSpec, source: Source) -> Source | None:
    """The examples of a stage's classes, with its memory; None where it says nothing of classes."""
    if spec.classes is None:
        return None
    held = spec.memory
    if held is None:
        return of_classes(source, spec.classes)
    return of_classes(source, spec.classes, memory=held.classes, per_class=held.per_class, seed=held.seed)


def other_arm(spec: ArmSpec, student: Arm, field: Field) -> Arm:
    """A further arm, with stages and perhaps a student of its own."""
    source = field.problem.train if spec.data == "train" else student.source
    stages = [make_part(stage, field, list(student.networks), source) for stage in spec.stages]
    arm = replace(student, stages=stages, source=source, correction=_correction(spec.correct, field))
    if spec.student is not None:
        own = spec.student.model
        arm = replace(
            arm,
            networks={**arm.networks, "student": make_network(own, field)},
            built_by={**arm.built_by, "student": {own.name: own.settings}},
        )
    return check_teachers(arm)


def arm_like(spec: ArmSpec, arms: Mapping[str, Arm], field: Field) -> Arm:
    """An arm that repeats the training of another one, with another correction."""
    assert spec.like is not None
    if spec.like not in arms:
        raise RecipeError("also: an arm is like the control, and there is none; leave one of the two out")
    return replace(arms[spec.like], correction=_correction(spec.correct, field), like=spec.like)


def _correction(spec: Named | None, field: Field) -> Any:
    if spec is None:
        return None
    legal = {"prior_bias": corrections.PriorBias}
    if spec.name not in legal:
        raise UnknownName("correction", spec.name, legal)
    made = call("correction", spec.name, legal[spec.name], spec.settings)
    made.check(field.problem.num_classes)
    return made
