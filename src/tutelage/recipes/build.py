"""A study from a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from tutelage import corrections
from tutelage.data import Loader, Source, Subset, Unlabelled, fraction_of
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.recipes.names import call
from tutelage.recipes.parts import (
    Field,
    check_optimizers,
    field_of,
    labels_alone,
    make_network,
    make_stage,
    make_transform,
)
from tutelage.recipes.spec import ArmSpec, Named, Recipe, TrainSpec, TransferSpec, checked
from tutelage.recipes.teachers import make_teacher
from tutelage.runs import Arm, Stage, Study
from tutelage.tasks.problem import Problem

__all__ = ["build", "student_of"]


def build(recipe: Recipe, name: str, *, seeds: int | None = None) -> Study:
    """Everything that a recipe names, found, checked and put together; nothing is trained yet.

    Args:
        recipe: what to do.
        name: what to call it.
        seeds: how many, instead of the recipe's.

    Raises:
        UnknownName, RecipeError, DataError: what is wrong, and what would be right.
    """
    field = field_of(recipe.task)
    taught, labelled = _transfer(recipe.transfer, field.problem.train)
    network = make_network(recipe.student.model, field)
    stages = [make_stage(stage, field) for stage in recipe.stages]
    student = Arm(network, stages, taught, _correction(recipe.correct))
    arms = {"student": student}
    if recipe.control is not False:
        arms = {"control": _control(recipe, student, labelled, field)} | arms
    for other, spec in recipe.also.items():
        arms[other] = _also(spec, student, field) if spec.like is None else _like(spec, arms)
    return Study(
        name=name,
        problem=field.problem,
        teacher=make_teacher(recipe.teacher, field),
        arms=arms,
        seeds=list(range(seeds or recipe.seeds)),
        resolved=recipe.model_dump(mode="json", exclude_unset=True),
        uncontrolled=[*recipe.uncontrolled, *_tuning(recipe)],
        expected=recipe.expected,
    )


def student_of(recipe: Recipe) -> tuple[Problem, Callable[[], nn.Module]]:
    """The problem that a recipe poses, and a function that builds its student."""
    field = field_of(recipe.task)
    return field.problem, make_network(recipe.student.model, field)


def _transfer(spec: TransferSpec, train: Source) -> tuple[Source, Source]:
    """What the student is taught on, and what of it has labels."""
    if spec == TransferSpec():
        return train, train
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
        return taught, taught
    seen = fraction_of(labels[numbers], spec.labelled, seed=spec.seed)
    return Unlabelled(taught, seen), Subset(taught, seen)


def _control(recipe: Recipe, student: Arm, source: Source, field: Field) -> Arm:
    """The student alone: its last stage's settings, labels only, as many steps as all its stages."""
    assert recipe.control is not False
    last, own = recipe.stages[-1], recipe.control.train
    steps = sum(stage.settings.total_steps(_steps(stage, student.source)) for stage in student.stages)
    length = {"epochs": None, "steps": None if own.get("epochs") is not None else steps}
    train = checked(TrainSpec, {**last.train.model_dump(), **length, **own}, "control.train")
    if "validate_every" not in own:  # as many looks at the validation split as the student
        ratio = len(student.source) / len(source)
        train = train.model_copy(update={"validate_every": max(1, math.ceil(train.validate_every * ratio))})
    optimizers = recipe.control.optimizers or last.optimizers
    check_optimizers(optimizers)
    transform = make_transform(train.augment, field.problem)
    stage = Stage(labels_alone(), train.engine(), optimizers, transform)
    return Arm(student.network, [stage], source, needs_teacher=False)


def _also(spec: ArmSpec, student: Arm, field: Field) -> Arm:
    source = field.problem.train if spec.data == "train" else student.source
    stages = [make_stage(stage, field) for stage in spec.stages]
    alone = all(stage.scheme.name == "alone" for stage in spec.stages)
    return Arm(student.network, stages, source, _correction(spec.correct), needs_teacher=not alone)


def _like(spec: ArmSpec, arms: Mapping[str, Arm]) -> Arm:
    assert spec.like is not None
    if spec.like not in arms:
        raise RecipeError("also: an arm is like the control, and there is none; leave one of the two out")
    return replace(arms[spec.like], correction=_correction(spec.correct), like=spec.like)


def _steps(stage: Stage, source: Source) -> int:
    return len(Loader(source, batch_size=stage.settings.batch_size))


def _correction(spec: Named | None) -> Any:
    if spec is None:
        return None
    legal = {"prior_bias": corrections.PriorBias}
    if spec.name not in legal:
        raise UnknownName("correction", spec.name, legal)
    return call("correction", spec.name, legal[spec.name], spec.settings)


def _tuning(recipe: Recipe) -> Sequence[str]:
    """What the recipe's record of tuning leaves uncontrolled."""
    trials = {arm: held.get("trials") for arm, held in recipe.tuning.items() if isinstance(held, dict)}
    if not trials:
        return ["tuning: the recipe keeps no record of how control and student were tuned"]
    if recipe.control is not False and trials.get("control") != trials.get("student"):
        return [
            f"tuning: {trials.get('control')} trials for the control, {trials.get('student')} for the student"
        ]
    return []
