"""The shape of a recipe. An unknown key is an error that names the nearest legal one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tutelage.recipes.form import NamedField, Spec
from tutelage.recipes.stage_spec import (
    OptimizerField,
    StageField,
)

__all__ = [
    "ArmSpec",
    "AssistantsSpec",
    "ControlSpec",
    "NetworkSpec",
    "OutcomeSpec",
    "Recipe",
    "StudentSpec",
    "TransferSpec",
]


class StudentSpec(Spec):
    """The student: its network."""

    model: NamedField


class NetworkSpec(Spec):
    """A further network of the arm: a peer, a critic, a generator."""

    model: NamedField


class AssistantsSpec(Spec):
    """Networks of sizes between teacher and student, each taught by those before it (TAKD, DGKD).

    They become `networks` called assistant1 (the largest), assistant2 …, and `stages` before the student's,
    with its scheme, optimisers and lengths; the resolved recipe holds them.

    Args:
        count: how many, of sizes that are chosen; or
        models: their models, the largest first.
        by: what is spaced between the two: `depth` (layers), `width` (channels of a layer, on average), or
            `parameters`.
        spacing: `geometric` for equal ratios, `even` for equal differences.
        guided: `before` lets each be taught by the one before it, `all` by the teacher and all before it.
        drop: how many of them are left out at each step, where all teach.
    """

    count: Annotated[int, Field(ge=1)] | None = None
    models: list[NamedField] = Field(default_factory=list)
    by: Literal["depth", "width", "parameters"] = "parameters"
    spacing: Literal["geometric", "even"] = "geometric"
    guided: Literal["before", "all"] = "before"
    drop: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_choice(self) -> AssistantsSpec:
        if (self.count is None) == (not self.models):
            raise ValueError("give either `count` or `models`, and only one of them")
        return self


class OutcomeSpec(Spec):
    """A network that is measured, handed over and judged, where a scheme's own are not what is wanted.

    Args:
        network: its name.
        stage: after which stage, counted from 0; the last one by default.
        members: other outcomes, of which this is the mean, in place of one network: an ensemble.
    """

    network: str = "student"
    stage: int | None = None
    members: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_or_several(self) -> OutcomeSpec:
        if self.members and {"network", "stage"} & self.model_fields_set:
            raise ValueError(
                "an outcome is one `network` after a `stage`, or has `members`; leave one of them out"
            )
        return self


class ControlSpec(Spec):
    """What differs for the student alone; by default nothing but the teacher's terms.

    Args:
        matches: what it learns by, in place of the student's terms that need no teacher.
        data: what it trains on: `labelled`, the examples with a label of what the student is taught on;
            `train`, the whole training split; `noise`, inputs drawn from a normal distribution with these
            labels.
        optimizers: in place of those of its turns.
        train: in place of single settings.
        stages: all of its walk, in place of the student's.
    """

    matches: list[dict[str, Any]] | None = None
    data: Literal["labelled", "train", "noise"] = "labelled"
    stages: list[StageField] | None = None
    optimizers: dict[str, OptimizerField] | None = None
    train: dict[str, Any] = Field(default_factory=dict)


class TransferSpec(Spec):
    """What the student is taught on; by default everything in the training split.

    Args:
        fraction: this share, drawn by class.
        labelled: hide the labels of all but this share; the control then trains on that share alone.
        omit: leave these classes out.
        seed: of the draw.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    labelled: Annotated[float, Field(gt=0, le=1)] = 1.0
    omit: tuple[int, ...] = ()
    seed: int = 0


class ArmSpec(Spec):
    """A further way to train the student, reported beside the others.

    Args:
        like: `student` or `control`: that training, not done again, with another correction or none.
        stages: as for the student, where it is not like another.
        data: `transfer`, or the whole `train` split.
        student: another network in the student's place.
        correct: set on it afterwards.
    """

    like: Literal["student", "control"] | None = None
    stages: list[StageField] = Field(default_factory=list)
    data: Literal["transfer", "train"] = "transfer"
    student: StudentSpec | None = None
    correct: NamedField | None = None

    @model_validator(mode="after")
    def _one_training(self) -> ArmSpec:
        if (self.like is None) == (not self.stages):
            raise ValueError("give either `like` (student or control) or `stages`, and only one of them")
        if self.like is not None and self.data != "transfer":
            raise ValueError(f"an arm like the {self.like} has its data; leave `data` out")
        if self.like is not None and self.student is not None:
            raise ValueError(f"an arm like the {self.like} has its network; leave `student` out")
        return self


class Recipe(Spec):
    """One named choice of task, teacher, student and scheme, plus numbers.

    Args:
        about: a sentence on what it shows.
        task: the field, and its data.
        teacher: where knowledge comes from; none where nobody is asked.
        student: the small network.
        networks: further networks that learn beside it, by name.
        assistants: networks of sizes between teacher and student, one taught by the other.
        stages: how they are trained and changed, one stage after the other.
        outcomes: what is measured, by name; by default what the last training's scheme hands over.
        primary: the outcome that the verdict is about; the first one handed over by default.
        placebo: whether an arm runs whose teacher repeats the labels; by default where that is cheap.
        control: what differs for the student alone; false trains none.
        also: further arms, by name.
        compare: further pairs of outcomes or arms, each held against the other: `[[student, direct]]`.
        transfer: what the student is taught on.
        correct: set on the student afterwards.
        seeds: how many.
        tuning: arm -> what was tuned, for the record: trials, choices, on which split.
        uncontrolled: what the comparison does not hold equal, in plain words.
        expected: metric -> {paper, source, ours}.
    """

    about: str = ""
    task: NamedField
    teacher: NamedField | None = None
    student: StudentSpec
    networks: dict[str, NetworkSpec] = Field(default_factory=dict)
    assistants: AssistantsSpec | None = None
    stages: list[StageField] = Field(min_length=1)
    outcomes: dict[str, OutcomeSpec] = Field(default_factory=dict)
    primary: str | None = None
    placebo: bool | None = None
    control: ControlSpec | Literal[False] = Field(default_factory=ControlSpec)
    also: dict[str, ArmSpec] = Field(default_factory=dict)
    compare: list[tuple[str, str]] = Field(default_factory=list)
    transfer: TransferSpec = Field(default_factory=TransferSpec)
    correct: NamedField | None = None
    seeds: Annotated[int, Field(ge=1)] = 3
    tuning: dict[str, Any] = Field(default_factory=dict)
    uncontrolled: list[str] = Field(default_factory=list)
    expected: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _names_of_arms(self) -> Recipe:
        taken = {"teacher", "control", "student", "placebo"} & set(self.also)
        if taken:
            raise ValueError(f"also: the names {sorted(taken)} are taken; choose others")
        return self
