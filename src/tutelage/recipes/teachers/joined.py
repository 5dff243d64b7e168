"""Teachers that each know a part: one of several tasks, or some of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field as Setting

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes.form import NamedField, Spec
from tutelage.recipes.parts import Field
from tutelage.recipes.teachers.built import built
from tutelage.recipes.teachers.members import PlanOf, gathered
from tutelage.studies import TeacherPlan
from tutelage.tasks.classification import narrowed
from tutelage.tasks.problem import Problem
from tutelage.teachers import Heads, Teacher, Union

__all__ = ["HeadsSpec", "UnionSpec", "plan_heads", "plan_union"]


class HeadsSpec(Spec):
    """Teachers of one task each; see `tutelage.teachers.Heads`.

    Args:
        members: by the name of the task -> as under `teacher`; each learns from the labels of its task alone.
    """

    members: dict[str, NamedField] = Setting(min_length=1)


def plan_heads(plan_of: PlanOf, spec: HeadsSpec, held: Field) -> TeacherPlan:
    """Each teacher's plan in the part of the problem that it knows."""
    parts = held.problem.parts
    if not parts:
        raise RecipeError("teacher.heads teaches several tasks, and this task is one; name another teacher")
    for name in spec.members:
        if name not in parts:
            raise UnknownName("task of teacher.heads:", name, parts)
    plans = [_within(plan_of, member, held, parts[name]) for name, member in spec.members.items()]

    def gather(teachers: Sequence[Teacher]) -> Teacher:
        return built(Heads, dict(zip(spec.members, teachers, strict=True)))

    return gathered(list(spec.members.values()), plans, gather)


class PartSpec(Spec):
    """A teacher of some classes.

    Args:
        classes: that it knows, in the order of its logits.
        teacher: as under `teacher`; it is trained on examples of these classes alone.
    """

    classes: list[int] = Setting(min_length=1)
    teacher: NamedField


class UnionSpec(Spec):
    """Teachers of some classes each; see `tutelage.teachers.Union`.

    Args:
        remember: ask once about each example that is not augmented.
    """

    members: list[PartSpec] = Setting(min_length=1)
    by: Literal["scores", "unified"] = "unified"
    temperature: float = 1.0
    rounds: int = 100
    remember: bool = False


def plan_union(plan_of: PlanOf, spec: UnionSpec, held: Field) -> TeacherPlan:
    """Each teacher's plan in the problem of its classes."""
    classes = [part.classes for part in spec.members]
    missing = set(range(held.problem.num_classes or 0)) - {each for some in classes for each in some}
    if missing:
        raise RecipeError(
            f"teacher.union: nobody knows the classes {sorted(missing)}; add a member that does, or leave "
            "them out of the task"
        )
    plans = [
        _within(plan_of, part.teacher, held, narrowed(held.problem, part.classes)) for part in spec.members
    ]
    options = {"by": spec.by, "temperature": spec.temperature, "rounds": spec.rounds}
    plan = gathered(
        [part.teacher for part in spec.members],
        plans,
        lambda teachers: built(Union, teachers, classes, **options),
    )
    return replace(plan, remember=spec.remember)


def _within(plan_of: PlanOf, teacher: NamedField, held: Field, problem: Problem) -> TeacherPlan:
    """The plan of a teacher that is trained and validated by a part of the problem."""
    plan = plan_of(teacher, Field(held.models, problem))
    return replace(plan, arms=[replace(arm, problem=arm.problem or problem) for arm in plan.arms])
