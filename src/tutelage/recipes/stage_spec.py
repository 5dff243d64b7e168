"""Stages of a recipe: what trains, by which terms, on which data, and what changes networks in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from tutelage.data import TeacherSees
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.recipes.form import NamedField, Spec, as_plain, named

__all__ = [
    "ChangeSpec",
    "MatchSpec",
    "MemorySpec",
    "OptimizerField",
    "StageField",
    "StageSpec",
    "TogetherSpec",
    "TrainSpec",
]


def _plain_optimizer(settings: OptimizerSettings) -> Any:
    options = dict(settings.options)
    if settings.schedule is not None:
        options["schedule"] = {settings.schedule: settings.schedule_options}
    if settings.warmup:
        options["warmup"] = settings.warmup
    return {settings.name: options}


OptimizerField = Annotated[
    OptimizerSettings, BeforeValidator(OptimizerSettings.read), PlainSerializer(_plain_optimizer)
]


def _projector(came: Any) -> Any:
    return came if came in (None, "auto", "shared") else as_plain(named(came))


class TrainSpec(TrainSettings, Spec):
    """How long and on how much; see `TrainSettings`.

    Args:
        augment: changes of training examples, by the task's names.
        mixup: the parameter of the Beta distribution by whose shares each example is mixed with another one,
            and both student and teacher shown the mix; 1 for equal chances of all shares, none by default.
        teacher_sees: what the teacher is shown where the student is shown an augmented view: the `same` view,
            the `plain` example, one `fixed` view for all epochs, or an `independent` view in each.
    """

    augment: dict[str, Any] = Field(default_factory=dict)
    mixup: Annotated[float, Field(gt=0)] | None = None
    teacher_sees: TeacherSees = "same"

    def engine(self) -> TrainSettings:
        """Without what the engine does not know."""
        return TrainSettings(**self.model_dump(exclude={"augment", "mixup", "teacher_sees"}))


class MatchSpec(Spec):
    """One term: a loss of `tutelage.losses` with its options beside the place and the weight."""

    model_config = ConfigDict(extra="allow", frozen=True)

    loss: str
    weight: float | NamedField = 1.0
    guided: str | list[str] | None = None
    hint: str | list[str] | None = None
    stages: str | None = None
    projector: Annotated[Any, BeforeValidator(_projector)] = "auto"
    transform: NamedField | None = None
    labels: str | None = None
    classes: list[int] | None = None
    gate: NamedField | None = None
    name: str | None = None


class TogetherSpec(Spec):
    """Several teachers of a stage that answer as one, written as a list, or with settings.

    Args:
        by: `plan`, `before`, or networks of the arm by name.
        drop: how many are left out at each step, other ones each time.
        temperature: of the softmaxes whose mean is taken: that of the loss.
    """

    by: list[str] = Field(min_length=1)
    drop: Annotated[int, Field(ge=0)] = 0
    temperature: Annotated[float, Field(gt=0)] = 1.0


def _teachers(came: Any) -> Any:
    """Read a list of names as teachers together."""
    if isinstance(came, list):
        came = {"by": came}
    return TogetherSpec.model_validate(came) if isinstance(came, Mapping) else came


class MemorySpec(Spec):
    """A rehearsal memory: of each of some classes a few examples, drawn by their ids.

    Args:
        classes: whose.
        per_class: how many of each; all of a class that has fewer.
        seed: of the draw.
    """

    classes: list[int] = Field(min_length=1)
    per_class: Annotated[int, Field(ge=1)]
    seed: int = 0


class StageSpec(Spec):
    """One training: who teaches whom, by which optimisers, for how long, on which data.

    Args:
        scheme: a name and its settings.
        optimizers: by the name of the turn.
        train: lengths and choices.
        data: `transfer`, what the student is taught on; `labelled`, what of it has a label; `train`, the
            whole training split; or `made`, what the stage before made.
        classes: of these data the examples of these classes alone; all by default.
        memory: a few examples of other classes beside them.
        teacher: `plan` for the recipe's teacher, `before` for the student as the stage before left it, the
            name of a network that was trained before, or several of these together.
        student: the network that learns here as the student.
        afresh: networks that begin with new weights here: a list for those of the seed, or each with a
            number, `{student: 1}`, for another draw, 0 for those of the seed.
    """

    scheme: NamedField
    optimizers: dict[str, OptimizerField]
    train: TrainSpec
    data: Literal["transfer", "labelled", "train", "made"] = "transfer"
    classes: list[int] | None = Field(default=None, min_length=1)
    memory: MemorySpec | None = None
    teacher: Annotated[str | TogetherSpec, BeforeValidator(_teachers)] = "plan"
    student: str = "student"
    afresh: list[str] | dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_of_made(self) -> StageSpec:
        if self.data == "made" and (self.classes is not None or self.memory is not None):
            raise ValueError(
                "classes and memory are of data that are there; leave them out beside data: made"
            )
        if self.memory is not None and self.classes is None:
            raise ValueError("a memory stands beside the stage's own classes; name them: classes: [2, 3]")
        return self


class ChangeSpec(Spec):
    """A change of networks between trainings, written `{prune: {share: 0.5}}`, or with `networks` beside it.

    Args:
        change: its name and settings.
        networks: which ones.
        tolerance: how much of the metric each may lose on the validation split, such as 0.01; what loses more
            is named in the report.
        keep: `always`, or `if_better`: undone where it loses more than the tolerance (than nothing, without
            one), or makes the network slower.
    """

    change: NamedField
    networks: list[str] = Field(default_factory=lambda: ["student"])
    tolerance: Annotated[float, Field(ge=0)] | None = None
    keep: Literal["always", "if_better"] = "always"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, came: Any) -> Any:
        """Read `{prune: …}` as `{change: {prune: …}}`."""
        if isinstance(came, Mapping) and "change" not in came and "scheme" not in came:
            own = {"networks", "tolerance", "keep"}
            rest = {key: value for key, value in came.items() if key not in own}
            if len(rest) == 1:
                return {"change": rest} | {key: came[key] for key in came if key in own}
        return came


def _stage(came: Any) -> Any:
    """A training has a scheme; anything else changes networks."""
    if isinstance(came, StageSpec | ChangeSpec):
        return came
    trains = isinstance(came, Mapping) and ("scheme" in came or {"train", "optimizers"} & came.keys())
    return (StageSpec if trains else ChangeSpec).model_validate(came)


StageField = Annotated[StageSpec | ChangeSpec, BeforeValidator(_stage)]
