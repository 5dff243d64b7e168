"""What is to be trained and compared; a recipe or a call of `distill` becomes one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from tutelage.compression import Changer
from tutelage.data import Source
from tutelage.engine import OptimizerSettings, TrainSettings, seeded
from tutelage.errors import RecipeError
from tutelage.schemes import Scheme
from tutelage.schemes.declared import Declared
from tutelage.tasks.networks import MeanOfNetworks
from tutelage.tasks.problem import Problem
from tutelage.teachers import Teacher
from tutelage.trust import plain_name
from tutelage.types import Batch

__all__ = [
    "Arm",
    "Change",
    "Outcome",
    "Stage",
    "Study",
    "TeacherPlan",
    "Together",
    "fresh_network",
    "fresh_networks",
    "loader_seed",
]

T = TypeVar("T")

Correction = Callable[[nn.Module, Teacher | None, Iterable[Batch], torch.device], None]


@dataclass(frozen=True)
class Together:
    """Several teachers of a stage that answer as one; see `tutelage.teachers.Ensemble`.

    Args:
        by: `plan`, `before`, or networks of the arm by name.
        drop: how many are left out at each step.
        temperature: of the softmaxes whose mean is taken: that of the loss.
    """

    by: Sequence[str]
    drop: int = 0
    temperature: float = 1.0


@dataclass(frozen=True)
class Stage:
    """A stage of an arm that trains: a scheme, its optimisers and its length.

    Args:
        scheme: (networks by name, teacher) -> a fresh scheme.
        settings: lengths and choices.
        optimizers: by the name of the turn.
        transform: changes training batches, or None.
        declared: what the scheme says of itself.
        data: what it trains on, in place of the arm's data: a source, or `made`, what the stage before made.
        teacher: `plan` for the study's teacher, `before` for the first student as the stage before left it,
            the name of a network of the arm as the stages before left it, or several of these together.
        student: the network of the arm that goes by the name of student here.
        afresh: networks that begin with new weights here: those of the seed, or, where each has a number, its
            draw of that number, 0 for those of the seed.
    """

    scheme: Callable[[Mapping[str, nn.Module], Teacher | None], Scheme]
    settings: TrainSettings
    optimizers: Mapping[str, OptimizerSettings]
    transform: Callable[[Batch, int], Batch] | None = None
    declared: Declared = field(default_factory=Declared)
    data: Source | Literal["made"] | None = None
    teacher: str | Together = "plan"
    student: str = "student"
    afresh: Sequence[str] | Mapping[str, int] = ()

    @property
    def asks(self) -> bool:
        """Whether it asks a teacher."""
        return self.declared.asks != "nobody"

    @property
    def draws(self) -> Mapping[str, int]:
        """The networks that begin anew, and which draw of the seed each gets."""
        return self.afresh if isinstance(self.afresh, Mapping) else dict.fromkeys(self.afresh, 0)

    @property
    def taught_by(self) -> Sequence[str]:
        """Whom it asks: `plan`, `before`, networks by name."""
        if not self.asks:
            return ()
        return self.teacher.by if isinstance(self.teacher, Together) else (self.teacher,)

    def cast(self, networks: Mapping[str, T]) -> dict[str, T]:
        """An arm's networks by the names that they have here: one of them is the student."""
        if self.student == "student":
            return dict(networks)
        rest = {name: held for name, held in networks.items() if name not in ("student", self.student)}
        return {"student": networks[self.student]} | rest

    def named(self, network: str) -> str:
        """The name in the arm of a network of this stage."""
        return self.student if network == "student" else network


@dataclass(frozen=True)
class Change:
    """A stage of an arm that changes networks without training.

    Args:
        name: of the change, as a recipe names it.
        changer: what changes.
        networks: which ones.
        settings: of the changer, for the record.
        tolerance: how much of the metric it may lose on the validation split; None for anything.
        keep: `always`, or `if_better`: undone where it loses more than it may, or makes the network slower.
    """

    name: str
    changer: Changer
    networks: Sequence[str] = ("student",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float | None = None
    keep: Literal["always", "if_better"] = "always"


@dataclass(frozen=True)
class Arm:
    """One way to train: a walk of some networks through stages.

    Args:
        networks: by name -> a network with fresh weights, drawn from torch's generator. The first one's are
            those of the seed alone.
        stages: one after the other.
        source: what it trains on.
        correction: set on the first network afterwards, without gradients.
        like: another arm, earlier in the study, whose stages these are: they are not trained again.
        teacher: changes the teacher for this arm: (teacher, study) -> teacher; None for the study's own.
        built_by: by the networks' names, what built each, for the record and to build it again.
        problem: what its networks are validated by, such as a part of the study's problem that a teacher
            knows; None for the study's.
    """

    networks: Mapping[str, Callable[[], nn.Module]]
    stages: Sequence[Stage | Change]
    source: Source
    correction: Correction | None = None
    like: str | None = None
    teacher: Callable[[Teacher, Study], Teacher] | None = None
    built_by: Mapping[str, Any] = field(default_factory=dict)
    problem: Problem | None = None

    @property
    def trainings(self) -> Iterator[tuple[int, Stage]]:
        """The stages that train, with their numbers."""
        return ((number, one) for number, one in enumerate(self.stages) if isinstance(one, Stage))

    @property
    def asking(self) -> list[tuple[int, Stage]]:
        """The stages that ask the study's teacher about data, with their numbers."""
        return [
            (number, stage)
            for number, stage in self.trainings
            if stage.declared.asks == "data" and "plan" in stage.taught_by and self.teacher is None
        ]

    @property
    def needs_teacher(self) -> bool:
        """Whether any stage asks the study's teacher."""
        return any("plan" in stage.taught_by for _, stage in self.trainings)

    def learning(self, network: str, last: int | None = None) -> list[tuple[int, Stage]]:
        """The stages in which a network learns, with their numbers: all but those of another student.

        Args:
            network: its name.
            last: the stage to stop after; None for the last one.
        """
        students = {stage.student for _, stage in self.trainings}
        return [
            (number, stage)
            for number, stage in self.trainings
            if (last is None or number <= last) and (stage.student == network or network not in students)
        ]

    def order_of(self, number: int) -> int:
        """What a stage's order of examples is drawn by: its number, without trainings of other students.

        A student has one order of examples, whoever was trained before it in its arm.
        """
        trainings = dict(self.trainings)
        own = trainings[number].student
        return number - sum(one.student != own for n, one in trainings.items() if n < number)

    def source_of(self, stage: Stage) -> Source | None:
        """What a stage trains on; None where the stage before makes it."""
        if stage.data == "made":
            return None
        return self.source if stage.data is None else stage.data


@dataclass(frozen=True)
class Outcome:
    """A network that is measured, handed over and judged.

    Args:
        arm: that trains it.
        network: its name in the arm.
        stage: after which stage of the arm; None for the last.
        view: network -> the part of it that is used; None for all of it.
        against: the outcome that it is judged against; None for one that others are judged against.
        members: networks and stages whose mean it is; none where it is one network. `network` and `stage` are
            then those of the last of them.
    """

    arm: str
    network: str = "student"
    stage: int | None = None
    view: Callable[[nn.Module], nn.Module] | None = None
    against: str | None = None
    members: Sequence[tuple[str, int | None]] = ()

    @property
    def parts(self) -> Sequence[tuple[str, int | None]]:
        """The networks and stages that it is made of."""
        return self.members or ((self.network, self.stage),)

    def of(self, found: Callable[[str, int | None], nn.Module]) -> nn.Module:
        """The network that it is.

        Args:
            found: a network's name and a stage -> that network as that stage left it.
        """
        networks = [found(network, stage) for network, stage in self.parts]
        whole = MeanOfNetworks(networks) if self.members else networks[0]
        return whole if self.view is None else self.view(whole)


@dataclass(frozen=True)
class TeacherPlan:
    """Where the teacher comes from.

    Args:
        finish: the networks that `arms` trained, in order -> a teacher. It is called anew for each stage.
        arms: how its networks are trained; none if it comes ready.
        seed: of the first network's training; each further one adds 1.
        nbytes: (teacher) -> bytes of a teacher that is no network.
        remember: ask it once about each example of a stage without augmentation.
        ahead: let it answer the next step's batch while the student learns.
        seconds: of training that no arm accounts for, as far as it is known once `finish` was called.
    """

    finish: Callable[[Sequence[nn.Module]], Teacher]
    arms: Sequence[Arm] = ()
    seed: int = 0
    nbytes: Callable[[Teacher], int] | None = None
    remember: bool = False
    ahead: bool = False
    seconds: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True)
class Study:
    """Everything that a run needs to know.

    Args:
        name: of the recipe.
        problem: data and how answers are examined.
        teacher: the plan for it; None where nobody is asked.
        arms: by name.
        outcomes: what is measured and judged, by name, in the order in which it is shown.
        primary: the outcome that the verdict is about.
        placebo: whether an arm runs beside the primary one whose teacher repeats the labels; None where that
            is so if it is cheap.
        seeds: each arm is trained once a seed; a seed gives all of them one initialisation and data order.
        resolved: the recipe as it was understood, for the record and to know the run again.
        compare: further pairs of outcomes, each held against the other.
        way: the stops of the primary outcome's network, one after each stage, where stages change networks.
        uncontrolled: what the comparison does not hold equal, in plain words.
        expected: metric -> what the paper found and what we found.
        level: the confidence of the verdict's interval.
        again: the command or the call that asks for the same again, for the record.
    """

    name: str
    problem: Problem
    teacher: TeacherPlan | None
    arms: Mapping[str, Arm]
    outcomes: Mapping[str, Outcome]
    seeds: Sequence[int]
    primary: str = "student"
    placebo: bool | None = None
    resolved: Mapping[str, Any] = field(default_factory=dict)
    compare: Sequence[tuple[str, str]] = ()
    way: Mapping[str, Outcome] = field(default_factory=dict)
    uncontrolled: Sequence[str] = ()
    expected: Mapping[str, Any] | None = None
    level: float = 0.95
    again: str = ""

    def __post_init__(self) -> None:
        """Refuse names after which no file can be named."""
        for kind, names in (("arm", self.arms), ("outcome", self.outcomes)):
            for name in names:
                plain_name(name, f"the name of an {kind}", RecipeError)
        for arm in self.arms.values():
            for name in arm.networks:
                plain_name(name, "the name of a network", RecipeError)

    @property
    def plan(self) -> TeacherPlan:
        """The plan for the teacher, of a study that has one."""
        assert self.teacher is not None
        return self.teacher

    @property
    def asks(self) -> bool:
        """Whether anybody is asked."""
        return self.teacher is not None and any(arm.needs_teacher for arm in self.arms.values())

    @property
    def first(self) -> Arm:
        """The arm of the primary outcome."""
        return self.arms[self.outcomes[self.primary].arm]


def fresh_networks(arm: Arm, seed: int) -> dict[str, nn.Module]:
    """The arm's networks as the seed initialises them, each whatever the others are."""
    return {name: fresh_network(arm, name, seed) for name in arm.networks}


def fresh_network(arm: Arm, name: str, seed: int, draw: int = 0) -> nn.Module:
    """One of the arm's networks.

    Args:
        arm: whose.
        name: of the network.
        seed: that initialises it.
        draw: which of the seed's draws; 0 for the first, with which every arm begins.
    """
    first = name == next(iter(arm.networks))
    told = "" if first else name
    told += f" {draw}" if draw else ""
    with seeded((seed + zlib.crc32(told.encode())) % 2**32):  # that of nothing is 0
        return arm.networks[name]()


def loader_seed(seed: int, number: int) -> int:
    """The seed of the order and the views of a stage."""
    return seed + 7919 * number
