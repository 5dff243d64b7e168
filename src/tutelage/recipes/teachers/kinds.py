"""The kinds of teacher that a recipe may name, and the plan for one of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tutelage.errors import UnknownName
from tutelage.recipes.form import Spec, checked, named
from tutelage.recipes.parts import Field
from tutelage.recipes.teachers.across import AcrossSpec, plan_across
from tutelage.recipes.teachers.frozen import FrozenSpec, plan_frozen
from tutelage.recipes.teachers.joined import HeadsSpec, UnionSpec, plan_heads, plan_union
from tutelage.recipes.teachers.members import (
    CautiousSpec,
    CommitteeSpec,
    EnsembleSpec,
    PanelSpec,
    plan_cautious,
    plan_committee,
    plan_ensemble,
    plan_panel,
)
from tutelage.recipes.teachers.predictor import PredictorSpec, plan_predictor
from tutelage.recipes.teachers.ready import (
    MovingAverageSpec,
    PastSelfSpec,
    StoredSpec,
    VirtualSpec,
    WithoutAdapterSpec,
    plan_moving_average,
    plan_past_self,
    plan_stored,
    plan_virtual,
    plan_without_adapter,
)
from tutelage.studies import TeacherPlan

__all__ = ["SPECS", "make_teacher"]


def make_teacher(teacher: Any, held: Field) -> TeacherPlan:
    """The plan for the teacher that a recipe describes.

    Args:
        teacher: a name and its settings, in any of the ways to write them.
        held: the field and its problem.

    Raises:
        UnknownName, RecipeError, CheckpointError: what is wrong, and what would be right.
    """
    asked = named(teacher)
    if asked.name not in _KINDS:
        raise UnknownName("teacher", asked.name, _KINDS)
    kind, plan = _KINDS[asked.name]
    return plan(checked(kind, asked.settings, f"teacher.{asked.name}"), held)


_KINDS: dict[str, tuple[type[Spec], Callable[[Any, Field], TeacherPlan]]] = {
    "across": (AcrossSpec, plan_across),
    "cautious": (CautiousSpec, partial(plan_cautious, make_teacher)),
    "committee": (CommitteeSpec, partial(plan_committee, make_teacher)),
    "ensemble": (EnsembleSpec, partial(plan_ensemble, make_teacher)),
    "frozen": (FrozenSpec, plan_frozen),
    "heads": (HeadsSpec, partial(plan_heads, make_teacher)),
    "moving_average": (MovingAverageSpec, plan_moving_average),
    "panel": (PanelSpec, partial(plan_panel, make_teacher)),
    "past_self": (PastSelfSpec, plan_past_self),
    "predictor": (PredictorSpec, plan_predictor),
    "stored": (StoredSpec, plan_stored),
    "union": (UnionSpec, partial(plan_union, make_teacher)),
    "virtual": (VirtualSpec, plan_virtual),
    "without_adapter": (WithoutAdapterSpec, plan_without_adapter),
}

SPECS: dict[str, type[Spec]] = {name: kind for name, (kind, _) in _KINDS.items()}
"""What a recipe may say about each kind of teacher."""
