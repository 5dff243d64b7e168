"""What is measured and held against what, from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes.spec import Recipe
from tutelage.recipes.stage_spec import ChangeSpec, StageSpec
from tutelage.studies import Arm, Change, Outcome

__all__ = ["against_controls", "control_of", "controls", "is_taught", "outcomes_of", "pairs", "way_of"]


def outcomes_of(recipe: Recipe, student: Arm) -> dict[str, Outcome]:
    """What is measured: what the recipe names, or what the last training's scheme hands over."""
    if recipe.outcomes:
        return {name: _outcome(recipe, name, student) for name in recipe.outcomes}
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


def _outcome(recipe: Recipe, name: str, student: Arm) -> Outcome:
    """An outcome that the recipe names: one network after some stage, or several that answer as one."""
    spec = recipe.outcomes[name]
    if not spec.members:
        if spec.network not in student.networks:
            raise UnknownName("network of an outcome", spec.network, student.networks)
        if spec.stage is not None and not 0 <= spec.stage < len(student.stages):
            raise RecipeError(f"outcomes: there is no stage {spec.stage}; the walk has {len(student.stages)}")
        return Outcome("student", spec.network, spec.stage)
    legal = [other for other, one in recipe.outcomes.items() if not one.members]
    for member in spec.members:
        if member not in legal:
            raise UnknownName(f"member of the outcome {name}:", member, legal)
    parts = [(recipe.outcomes[member].network, recipe.outcomes[member].stage) for member in spec.members]
    last = max(parts, key=lambda part: len(student.stages) if part[1] is None else part[1])
    return Outcome("student", *last, members=parts)


def pairs(recipe: Recipe, outcomes: Mapping[str, Outcome]) -> list[tuple[str, str]]:
    """Further pairs that are held against each other."""
    for name in (each for pair in recipe.compare for each in pair):
        if name not in outcomes:
            raise UnknownName("outcome to compare", name, outcomes)
    return [(of, against) for of, against in recipe.compare]


def way_of(recipe: Recipe, primary: Outcome, arm: Arm) -> dict[str, Outcome]:
    """The stops of the primary outcome's network, one after each stage that touches it.

    None where no stage changes it, or where it is a part of a network or several.
    """
    changes = [one for one in arm.stages if isinstance(one, Change) and primary.network in one.networks]
    if not changes or primary.view is not None or primary.members:
        return {}
    last = len(arm.stages) - 1 if primary.stage is None else primary.stage
    learns = {number for number, _ in arm.learning(primary.network, last)}
    found = {}
    for number, (stage, spec) in enumerate(zip(arm.stages, recipe.stages, strict=False)):
        touches = primary.network in stage.networks if isinstance(stage, Change) else number in learns
        if number <= last and touches:
            name = stage.name if isinstance(stage, Change) else f"train ({_scheme(spec)})"
            found[f"{number + 1} {name}"] = replace(primary, stage=number, against=None)
    return found


def _scheme(spec: StageSpec | ChangeSpec) -> str:
    return spec.scheme.name if isinstance(spec, StageSpec) else spec.change.name


def is_taught(outcome: Outcome, arm: Arm) -> bool:
    """Whether a teacher was looked at by then; the control of a stage before that is itself."""
    looks = [n for n, stage in arm.trainings if any(term.needs_teacher for term in stage.declared.terms)]
    return outcome.stage is None or not looks or min(looks) <= outcome.stage


def control_of(name: str, outcomes: Mapping[str, Outcome]) -> str:
    """What to call the control of an outcome: control, where there is one student; else by its name."""
    return "control" if "control" in outcomes else f"{name} alone"


def controls(outcomes: Mapping[str, Outcome], counterpart: Callable[[int], int]) -> dict[str, Outcome]:
    """The control of each outcome: the same network of the control's arm, after the same part of the walk.

    Args:
        outcomes: of the student's arm.
        counterpart: a stage of the student's walk -> that of the control's.
    """
    found = {}
    for name, one in outcomes.items():
        stage = None if one.stage is None else counterpart(one.stage)
        members = [(member, None if n is None else counterpart(n)) for member, n in one.members]
        called = "control" if len(outcomes) == 1 else f"{name} alone"
        found[called] = replace(one, arm="control", stage=stage, members=members)
    return found


def against_controls(outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The outcomes, each against its control."""
    alone = "control" if len(outcomes) == 1 else None
    return {name: replace(one, against=alone or f"{name} alone") for name, one in outcomes.items()}
