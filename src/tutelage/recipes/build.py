"""A study from a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tutelage import corrections
from tutelage.data import Source, Subset, Unlabelled, fraction_of
from tutelage.engine import TrainSettings
from tutelage.errors import DataError, UnknownName
from tutelage.recipes.names import call
from tutelage.recipes.parts import Field, field_of, labels_alone, make_network, make_stage
from tutelage.recipes.spec import ArmSpec, Named, Recipe, TransferSpec
from tutelage.recipes.teachers import make_teacher
from tutelage.runs import Arm, Stage, Study

__all__ = ["build"]


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
        arms = {"control": _control(recipe, student, labelled)} | arms
    for other, spec in recipe.also.items():
        arms[other] = _also(spec, student, field)
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


def _control(recipe: Recipe, student: Arm, source: Source) -> Arm:
    """The student alone: its last stage's settings, labels only, as many steps as all its stages."""
    assert recipe.control is not False
    last = recipe.stages[-1]
    steps = sum(stage.settings.total_steps(_steps(stage, student.source)) for stage in student.stages)
    changed = {**last.train.engine().model_dump(), "epochs": None, "steps": steps, **recipe.control.train}
    settings = TrainSettings(**changed)
    if "validate_every" not in recipe.control.train:  # as many looks at the validation split as the student
        ratio = len(student.source) / len(source)
        every = max(1, math.ceil(settings.validate_every * ratio))
        settings = settings.model_copy(update={"validate_every": every})
    optimizers = recipe.control.optimizers or last.optimizers
    stage = Stage(labels_alone(), settings, optimizers, student.stages[-1].transform)
    return Arm(student.network, [stage], source, needs_teacher=False)


def _also(spec: ArmSpec, student: Arm, field: Field) -> Arm:
    source = field.problem.train if spec.data == "train" else student.source
    stages = [make_stage(stage, field) for stage in spec.stages]
    alone = all(stage.scheme.name == "alone" for stage in spec.stages)
    return Arm(student.network, stages, source, _correction(spec.correct), needs_teacher=not alone)


def _steps(stage: Stage, source: Source) -> int:
    return -(-len(source) // stage.settings.batch_size)


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
