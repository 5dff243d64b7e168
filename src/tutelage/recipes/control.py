"""The control of a recipe: the student's walk with the teacher taken out."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from tutelage.data import Loader, Noise, Source
from tutelage.errors import RecipeError
from tutelage.recipes.arms import make_part
from tutelage.recipes.form import checked
from tutelage.recipes.parts import Field
from tutelage.recipes.schemes import control_stage
from tutelage.recipes.spec import Recipe
from tutelage.recipes.stage_spec import ChangeSpec, StageSpec, TrainSpec
from tutelage.recipes.walks import only_teaching, walks_alone
from tutelage.studies import Arm, Change, Stage

__all__ = ["control_arm"]


def control_arm(
    recipe: Recipe, student: Arm, measured: Collection[str], labelled: Source, field: Field
) -> Arm:
    """The student's walk without the teacher: the same networks, changes and data, and as many steps.

    What only taught it is not trained. Trainings that follow one another without a change between them are
    one: without their teacher's terms they would differ in nothing but where a schedule begins again.
    """
    spec = recipe.control
    assert spec is not False
    parts = [stage for stage in recipe.stages if isinstance(stage, StageSpec) and stage.classes is not None]
    if parts and spec.data != "labelled" and spec.stages is None:
        raise RecipeError(
            f"control.data is {spec.data}, and the student's stages train on classes of their own, which are "
            "the control's too; leave control.data out, or give the control stages of its own"
        )
    source = {"labelled": labelled, "train": field.problem.train, "noise": Noise(labelled)}[spec.data]
    names = list(student.networks)
    if spec.stages is not None:
        stages = [make_part(stage, field, names, source) for stage in spec.stages]
        return replace(student, stages=stages, source=source, correction=None)
    walk: list[Stage | Change] = []
    for part in _parts(recipe, student, measured)[0]:
        if isinstance(part, Change):
            walk.append(part)
        else:
            walk.append(_alone(recipe, part, student, source, field))
    return replace(student, stages=walk, source=source, correction=None)


def stage_in_control(recipe: Recipe, student: Arm, measured: Collection[str], stage: int) -> int:
    """Where the control is when the student has been through a stage.

    Args:
        recipe: what to do.
        student: the arm.
        measured: names of the networks that outcomes are about.
        stage: of the student's walk.

    Returns:
        the number of the control's stage that the student's is part of; of one that only others walk, the
        stage before it. Where the control has stages of its own, the stage of that number, or its last.
    """
    spec = recipe.control
    if spec is not False and spec.stages is not None:
        return min(stage, len(spec.stages) - 1)
    groups = _parts(recipe, student, measured)[1]
    return max((number for number, group in enumerate(groups) if group[0] <= stage), default=0)


def _parts(
    recipe: Recipe, student: Arm, measured: Collection[str]
) -> tuple[list[Change | _Training], list[list[int]]]:
    """The parts of the control's walk, and of each the numbers of the student's stages that are in it."""
    left_out = only_teaching(student, measured)
    kept = [number for number, stage in enumerate(student.stages) if walks_alone(stage, left_out)]
    parts = _joined([recipe.stages[n] for n in kept], [student.stages[n] for n in kept])
    left = iter(kept)
    groups = [[next(left) for _ in range(1 if isinstance(part, Change) else len(part[1]))] for part in parts]
    return parts, groups


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


def _steps(stage: Stage, source: Source) -> int:
    return stage.settings.total_steps(len(Loader(source, batch_size=stage.settings.batch_size)))
