"""Teachers that nobody trains here: stored answers, a rule about labels, and the student itself."""

from __future__ import annotations

from pathlib import Path

from tutelage.answers import Answers
from tutelage.errors import RecipeError
from tutelage.recipes.form import Spec
from tutelage.recipes.parts import Field
from tutelage.recipes.teachers.built import built
from tutelage.studies import TeacherPlan
from tutelage.teachers import MovingAverage, PastSelf, Stored, Virtual, WithoutAdapter

__all__ = [
    "MovingAverageSpec",
    "PastSelfSpec",
    "StoredSpec",
    "VirtualSpec",
    "WithoutAdapterSpec",
    "plan_moving_average",
    "plan_past_self",
    "plan_stored",
    "plan_virtual",
    "plan_without_adapter",
]


class StoredSpec(Spec):
    """A teacher that answered before; see `tutelage.teachers.Stored`.

    Args:
        answers: the folder that `tutelage label` has filled, or its URL.
        trusted: do not read the files once before, to hold them against their checksums.
    """

    answers: str
    trusted: bool = False


def plan_stored(spec: StoredSpec, held: Field) -> TeacherPlan:  # noqa: ARG001
    """Read the answers; what they took to make is what the teacher took to train."""
    where = Path(spec.answers).expanduser() if "://" not in spec.answers else spec.answers
    made = Stored(Answers(where, trusted=spec.trusted))
    about = made.answers.about
    seconds = about.get("teacher", {}).get("train_seconds", 0.0) + about.get("label_seconds", 0.0)
    return TeacherPlan(lambda _: made, seconds=lambda: seconds)


class VirtualSpec(Spec):
    """A teacher that nobody trained: almost sure of the label; see `tutelage.teachers.Virtual`."""

    correct: float = 0.9


def plan_virtual(spec: VirtualSpec, held: Field) -> TeacherPlan:
    """Tell it how many classes there are."""
    classes = held.problem.num_classes
    if classes is None:
        raise RecipeError("teacher.virtual answers with classes, and this task has none; name another")
    made = built(Virtual, num_classes=classes, correct=spec.correct)
    return TeacherPlan(lambda _: made)


class MovingAverageSpec(Spec):
    """The average of the student's own weights; see `tutelage.teachers.MovingAverage`."""

    decay: float = 0.999


def plan_moving_average(spec: MovingAverageSpec, held: Field) -> TeacherPlan:  # noqa: ARG001
    """It finds the student when it is put beside it."""
    made = built(MovingAverage, decay=spec.decay)
    return TeacherPlan(lambda _: made)


class PastSelfSpec(Spec):
    """The student as it was an epoch ago; see `tutelage.teachers.PastSelf`."""

    every: int = 1


def plan_past_self(spec: PastSelfSpec, held: Field) -> TeacherPlan:  # noqa: ARG001
    """It finds the student when it is put beside it."""
    made = built(PastSelf, every=spec.every)
    return TeacherPlan(lambda _: made)


class WithoutAdapterSpec(Spec):
    """The student with its adapter switched off; see `tutelage.teachers.WithoutAdapter`."""


def plan_without_adapter(spec: WithoutAdapterSpec, held: Field) -> TeacherPlan:  # noqa: ARG001
    """It finds the student when it is put beside it."""
    made = built(WithoutAdapter)
    return TeacherPlan(lambda _: made)
