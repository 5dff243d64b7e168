"""A study from a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from tutelage import corrections
from tutelage.data import Loader, Noise, Source, Subset, Unlabelled, fraction_of
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.recipes.assistants import with_assistants
from tutelage.recipes.names import call
from tutelage.recipes.parts import Field, field_of, make_change, make_network
from tutelage.recipes.schemes import control_stage, make_stage
from tutelage.recipes.spec import (
    ArmSpec,
    ChangeSpec,
    Named,
    Recipe,
    StageSpec,
    TrainSpec,
    TransferSpec,
    checked,
    named,
)
from tutelage.recipes.teachers import make_teacher
from tutelage.recipes.walks import check_teachers, only_teaching, walks_alone, without_idle
from tutelage.studies import Arm, Change, Outcome, Stage, Study
from tutelage.tasks.problem import Problem

__all__ = ["build", "student_of", "view_of"]


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
    recipe = with_assistants(recipe, field)
    taught, labelled = _transfer(recipe.transfer, field.problem.train)
    student = _student(recipe, field, taught)
    arms, outcomes = {"student": student}, _outcomes(recipe, student)
    primary = recipe.primary or next(iter(outcomes))
    if primary not in outcomes:
        raise UnknownName("primary outcome", primary, outcomes)
    if recipe.control is not False:
        measured = {outcome.network for outcome in outcomes.values()}
        arms = {"control": _control(recipe, student, measured, labelled, field)} | arms
        outcomes = _controls(outcomes) | _against(outcomes)
    for other, spec in recipe.also.items():
        arms[other] = _also(spec, student, field) if spec.like is None else _like(spec, arms)
        against = _control_of(primary, outcomes) if recipe.control is not False else None
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
        compare=_pairs(recipe, outcomes),
        uncontrolled=[*recipe.uncontrolled, *_tuning(recipe)],
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
    models = _models(recipe)
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


def _models(recipe: Recipe) -> dict[str, Named]:
    """The networks' models, by name; the student first."""
    if "student" in recipe.networks:
        raise RecipeError("networks: the name student is taken; choose another")
    return {"student": recipe.student.model} | {name: each.model for name, each in recipe.networks.items()}


def _student(recipe: Recipe, field: Field, source: Source) -> Arm:
    models = _models(recipe)
    names = list(models)
    stages = [_make_stage(stage, field, names) for stage in recipe.stages]
    return check_teachers(
        Arm(
            {name: make_network(model, field) for name, model in models.items()},
            stages,
            source,
            _correction(recipe.correct),
            built_by={name: {model.name: model.settings} for name, model in models.items()},
        )
    )


def _make_stage(spec: StageSpec | ChangeSpec, field: Field, names: Sequence[str]) -> Stage | Change:
    if isinstance(spec, ChangeSpec):
        change = make_change(spec)
        for name in change.networks:
            if name not in names:
                raise UnknownName("network of a stage:", name, names)
        return change
    return make_stage(spec, field, names, field.problem.train if spec.data == "train" else None)


def _outcomes(recipe: Recipe, student: Arm) -> dict[str, Outcome]:
    """What is measured: what the recipe names, or what the last training's scheme hands over."""
    if recipe.outcomes:
        found = {name: Outcome("student", one.network, one.stage) for name, one in recipe.outcomes.items()}
        for one in found.values():
            if one.network not in student.networks:
                raise UnknownName("network of an outcome", one.network, student.networks)
            if one.stage is not None and not 0 <= one.stage < len(student.stages):
                raise RecipeError(
                    f"outcomes: there is no stage {one.stage}; the walk has {len(student.stages)}"
                )
        return found
    trainings = list(student.trainings)
    if not trainings:
        raise RecipeError("stages: none of them trains; add one with `scheme`")
    last = trainings[-1][1]
    handed = last.declared.students
    if not handed:
        raise RecipeError(
            "the last training hands over no student; add one that trains on what it made (data: made)"
        )
    return {one.name: Outcome("student", last.named(one.network), view=one.view) for one in handed}


def _control_of(name: str, outcomes: Mapping[str, Outcome]) -> str:
    """What to call the control of an outcome: control, where there is one student; else by its name."""
    return "control" if "control" in outcomes else f"{name} alone"


def _controls(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    if len(outcomes) == 1:
        (only,) = outcomes.values()
        return {"control": replace(only, arm="control")}
    return {f"{name} alone": replace(one, arm="control") for name, one in outcomes.items()}


def _against(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    alone = "control" if len(outcomes) == 1 else None
    return {name: replace(one, against=alone or f"{name} alone") for name, one in outcomes.items()}


def _pairs(recipe: Recipe, outcomes: Mapping[str, Outcome]) -> list[tuple[str, str]]:
    for name in (each for pair in recipe.compare for each in pair):
        if name not in outcomes:
            raise UnknownName("outcome to compare", name, outcomes)
    return [(of, against) for of, against in recipe.compare]


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


def _control(recipe: Recipe, student: Arm, measured: Collection[str], labelled: Source, field: Field) -> Arm:
    """The student's walk without the teacher: the same networks, changes and data, and as many steps.

    What only taught it is not trained. Trainings that follow one another without a change between them are
    one: without their teacher's terms they would differ in nothing but where a schedule begins again.
    """
    spec = recipe.control
    assert spec is not False
    source = {"labelled": labelled, "train": field.problem.train, "noise": Noise(labelled)}[spec.data]
    names = list(student.networks)
    if spec.stages is not None:
        stages = [_make_stage(stage, field, names) for stage in spec.stages]
        return replace(student, stages=stages, source=source, correction=None)
    walk: list[Stage | Change] = []
    left_out = only_teaching(student, measured)
    kept = [
        pair for pair in zip(recipe.stages, student.stages, strict=True) if walks_alone(pair[1], left_out)
    ]
    for part in _joined([spec for spec, _ in kept], [stage for _, stage in kept]):
        if isinstance(part, Change):
            walk.append(part)
        else:
            walk.append(_alone(recipe, part, student, source, field))
    return replace(student, stages=walk, source=source, correction=None)


_Training = tuple[StageSpec, Sequence[Stage]]
"""What the last of some trainings says, and all of them."""


def _joined(
    specs: Sequence[StageSpec | ChangeSpec], stages: Sequence[Stage | Change]
) -> list[Change | _Training]:
    """The walk, with trainings that follow one another joined."""
    found: list[Change | _Training] = []
    for spec, stage in zip(specs, stages, strict=True):
        if isinstance(stage, Change):
            found.append(stage)
            continue
        assert isinstance(spec, StageSpec)
        last = found[-1] if found else None
        joins = stage.data is None and not stage.afresh
        if joins and isinstance(last, tuple) and _goes_on(last[1][-1], stage):
            found[-1] = (spec, [*last[1], stage])
        else:
            found.append((spec, [stage]))
    return found


def _goes_on(last: Stage, stage: Stage) -> bool:
    return last.data is None and last.student == stage.student


def _alone(recipe: Recipe, part: _Training, student: Arm, source: Source, field: Field) -> Stage:
    """Some trainings without a teacher: the last one's settings, with as many steps as all of them."""
    spec, joined = part
    own = recipe.control
    assert own is not False
    taught_on = [student.source_of(stage) for stage in joined]
    train = spec.train.model_copy(update={"mixup": None, "teacher_sees": "same"})  # labels are true of no mix
    if taught_on[0] is not None:
        steps = sum(_steps(stage, held) for stage, held in zip(joined, taught_on, strict=True) if held)
        length = {"epochs": None, "steps": None if own.train.get("epochs") is not None else steps}
        train = checked(TrainSpec, {**train.model_dump(), **length, **own.train}, "control.train")
        if "validate_every" not in own.train:  # as many looks at the validation split as the student
            ratio = len(student.source) / len(source)
            looks = max(1, math.ceil(train.validate_every * ratio))
            train = train.model_copy(update={"validate_every": looks})
    optimizers = {**spec.optimizers, **(own.optimizers or {})}
    changed = spec.model_copy(update={"train": train, "optimizers": optimizers, "teacher": "plan"})
    data = joined[-1].data if isinstance(joined[-1].data, Source) else None
    stage = control_stage(changed, field, list(student.networks), own.matches)
    return stage if stage.data == "made" else replace(stage, data=data)


def _also(spec: ArmSpec, student: Arm, field: Field) -> Arm:
    source = field.problem.train if spec.data == "train" else student.source
    stages = [_make_stage(stage, field, list(student.networks)) for stage in spec.stages]
    arm = replace(student, stages=stages, source=source, correction=_correction(spec.correct))
    return check_teachers(arm)


def _like(spec: ArmSpec, arms: Mapping[str, Arm]) -> Arm:
    assert spec.like is not None
    if spec.like not in arms:
        raise RecipeError("also: an arm is like the control, and there is none; leave one of the two out")
    return replace(arms[spec.like], correction=_correction(spec.correct), like=spec.like)


def _steps(stage: Stage, source: Source) -> int:
    return stage.settings.total_steps(len(Loader(source, batch_size=stage.settings.batch_size)))


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
