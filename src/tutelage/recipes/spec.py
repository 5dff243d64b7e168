"""The shape of a recipe. An unknown key is an error that names the nearest legal one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from tutelage.data import TeacherSees
from tutelage.engine import OptimizerSettings, TrainSettings, complaints, name_and_settings
from tutelage.errors import RecipeError, UnknownName

__all__ = [
    "ArmSpec",
    "AssistantsSpec",
    "ChangeSpec",
    "ControlSpec",
    "MatchSpec",
    "MemorySpec",
    "Named",
    "NamedField",
    "NetworkSpec",
    "OptimizerField",
    "OutcomeSpec",
    "Recipe",
    "Spec",
    "StageField",
    "StageSpec",
    "StudentSpec",
    "TogetherSpec",
    "TrainSpec",
    "TransferSpec",
    "checked",
    "named",
]


class Spec(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, came: Any) -> Any:
        if isinstance(came, Mapping) and cls.model_config.get("extra") == "forbid":
            for key in came:
                if key not in cls.model_fields:
                    raise UnknownName("key", str(key), cls.model_fields)
        return came


_Kind = TypeVar("_Kind", bound=Spec)


def checked(kind: type[_Kind], came: Any, where: str) -> _Kind:
    """Plain data as a spec of that kind.

    Args:
        kind: the class.
        came: a mapping.
        where: what to call the place in messages.

    Raises:
        RecipeError: says where, what came and what was expected.
    """
    try:
        return kind.model_validate(came)
    except ValidationError as error:
        raise RecipeError(f"{where}: {complaints(error)}") from error


class Named(BaseModel):
    """A name and its settings, written `{name: {setting: value}}`, or `name` alone."""

    model_config = ConfigDict(frozen=True)

    name: str
    settings: dict[str, Any] = Field(default_factory=dict)


def named(came: Any) -> Named:
    """A name and its settings, from any of the ways to write them."""
    return came if isinstance(came, Named) else Named.model_validate(_named(came))


def _named(came: Any) -> Any:
    if isinstance(came, Named):
        return came
    name, settings = name_and_settings(came)
    return {"name": name, "settings": settings}


def _plain(held: Named) -> Any:
    return {held.name: held.settings}


NamedField = Annotated[Named, BeforeValidator(_named), PlainSerializer(_plain)]


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
    return came if came in (None, "auto", "shared") else _plain(named(came))


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
    """

    change: NamedField
    networks: list[str] = Field(default_factory=lambda: ["student"])

    @model_validator(mode="before")
    @classmethod
    def _short(cls, came: Any) -> Any:
        """Read `{prune: …}` as `{change: {prune: …}}`."""
        if isinstance(came, Mapping) and "change" not in came and "scheme" not in came:
            rest = {key: value for key, value in came.items() if key != "networks"}
            if len(rest) == 1:
                return {"change": rest} | {key: came[key] for key in came if key == "networks"}
        return came


def _stage(came: Any) -> Any:
    """A training has a scheme; anything else changes networks."""
    if isinstance(came, StageSpec | ChangeSpec):
        return came
    trains = isinstance(came, Mapping) and ("scheme" in came or {"train", "optimizers"} & came.keys())
    return (StageSpec if trains else ChangeSpec).model_validate(came)


StageField = Annotated[StageSpec | ChangeSpec, BeforeValidator(_stage)]


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
