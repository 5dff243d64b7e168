"""Teachers that ask other teachers: several, weighted in one way or another, or one that may be refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import Field as Setting
from torch import nn

from tutelage.errors import RecipeError
from tutelage.recipes.form import Named, NamedField, Spec
from tutelage.recipes.parts import Field
from tutelage.recipes.teachers.built import built
from tutelage.studies import TeacherPlan
from tutelage.teachers import Cautious, Committee, Ensemble, Panel, Teacher, learn_weights
from tutelage.training import evaluation_loader

__all__ = [
    "CautiousSpec",
    "CommitteeSpec",
    "EnsembleSpec",
    "MembersSpec",
    "PanelSpec",
    "PlanOf",
    "gathered",
    "plan_cautious",
    "plan_committee",
    "plan_ensemble",
    "plan_panel",
]

PlanOf = Callable[[Named, Field], TeacherPlan]
"""The plan for a teacher of any kind, a member's too."""


class MembersSpec(Spec):
    """Several teachers.

    Args:
        members: each as under `teacher`.
    """

    members: list[NamedField] = Setting(min_length=1)


class EnsembleSpec(MembersSpec):
    """Several teachers, with the same weights for all examples.

    Args:
        weights: one number each; None for equal ones; `learned` for those under which the labels of the
            validation split are most likely.
        mean: of `probabilities` or of `logits`.
    """

    weights: list[float] | Literal["learned"] | None = None
    mean: Literal["probabilities", "logits"] = "probabilities"


def plan_ensemble(plan_of: PlanOf, spec: EnsembleSpec, held: Field) -> TeacherPlan:
    """Weights that are learned are learned once; a member that gets none is left out."""
    learned: list[list[float]] = []

    def gather(teachers: Sequence[Teacher]) -> Teacher:
        weights = spec.weights
        if weights == "learned":
            if not learned:
                learned.append(learn_weights(teachers, evaluation_loader(held.problem.validation)))
            kept = [number for number, weight in enumerate(learned[0]) if weight > 0]
            teachers, weights = [teachers[n] for n in kept], [learned[0][n] for n in kept]
        return built(Ensemble, teachers, weights=weights, mean=spec.mean)

    return _gathered(plan_of, spec, held, gather)


class PanelSpec(MembersSpec):
    """Several teachers, weighted anew for each example; see `tutelage.teachers.Panel`."""

    by: str = "confidence"
    sharpness: float = 1.0


def plan_panel(plan_of: PlanOf, spec: PanelSpec, held: Field) -> TeacherPlan:
    """The members, and how they are weighted."""
    return _gathered(
        plan_of, spec, held, lambda teachers: built(Panel, teachers, by=spec.by, sharpness=spec.sharpness)
    )


class CommitteeSpec(MembersSpec):
    """Several teachers, weighted by what the student lacks; see `tutelage.teachers.Committee`."""

    softness: float = 0.5


def plan_committee(plan_of: PlanOf, spec: CommitteeSpec, held: Field) -> TeacherPlan:
    """The members, and how they are weighted."""
    return _gathered(plan_of, spec, held, lambda teachers: built(Committee, teachers, softness=spec.softness))


class CautiousSpec(Spec):
    """A teacher whose answers are refused below a confidence; see `tutelage.teachers.Cautious`.

    Args:
        teacher: as under `teacher`.
        least: the lowest probability of the first choice.
    """

    teacher: NamedField
    least: float = 0.5


def plan_cautious(plan_of: PlanOf, spec: CautiousSpec, held: Field) -> TeacherPlan:
    """The plan of the teacher that is asked, with other answers."""
    plan = plan_of(spec.teacher, held)
    return replace(
        plan,
        finish=lambda networks: built(Cautious, plan.finish(networks), least=spec.least),
        remember=False,
    )


def _gathered(
    plan_of: PlanOf, spec: MembersSpec, held: Field, gather: Callable[[Sequence[Teacher]], Teacher]
) -> TeacherPlan:
    """The plans of all members, and what they are gathered into."""
    return gathered(spec.members, [plan_of(member, held) for member in spec.members], gather)


def gathered(
    specs: Sequence[Named], members: Sequence[TeacherPlan], gather: Callable[[Sequence[Teacher]], Teacher]
) -> TeacherPlan:
    """One plan of the plans of several teachers.

    Args:
        specs: what the recipe says about each.
        members: the plan of each.
        gather: the teachers, in order -> the one that they make together.

    Raises:
        RecipeError: a seed that would not be used.
    """
    _check_seeds(specs, members)

    def finish(networks: Sequence[nn.Module]) -> Teacher:
        rest, teachers = list(networks), []
        for member in members:
            mine, rest = rest[: len(member.arms)], rest[len(member.arms) :]
            teachers.append(member.finish(mine))
        return gather(teachers)

    return TeacherPlan(
        finish,
        arms=[arm for member in members for arm in member.arms],
        seed=members[0].seed,
        seconds=lambda: sum(member.seconds() for member in members),
    )


def _check_seeds(specs: Sequence[Named], members: Sequence[TeacherPlan]) -> None:
    """Refuse seeds of members that would not be used: they count on from the first one's."""
    trained = 0
    for number, (spec, member) in enumerate(zip(specs, members, strict=True)):
        expected = members[0].seed + trained
        if member.arms and spec.settings.get("seed", expected) != expected:
            raise RecipeError(
                f"teacher: member {number} has the seed {member.seed}; trained members count on "
                f"from the first one's seed, so that this one gets {expected}. Leave it out"
            )
        trained += len(member.arms)
