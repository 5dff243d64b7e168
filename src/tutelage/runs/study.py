"""What is to be trained and compared; a recipe or a call of `distill` becomes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tutelage.data import Source
from tutelage.engine import OptimizerSettings, TrainSettings
from tutelage.schemes import Scheme
from tutelage.tasks.problem import Problem
from tutelage.teachers import Teacher
from tutelage.types import Batch

__all__ = ["Arm", "Stage", "Study", "TeacherPlan"]

Correction = Callable[[nn.Module, Teacher | None, Iterable[Batch], torch.device], None]


@dataclass(frozen=True)
class Stage:
    """One training of a student: a scheme, its optimisers and its length.

    Args:
        scheme: (student, teacher) -> a fresh scheme.
        settings: lengths and choices.
        optimizers: by the name of the turn.
        transform: changes training batches, or None.
    """

    scheme: Callable[[nn.Module, Teacher | None], Scheme]
    settings: TrainSettings
    optimizers: Mapping[str, OptimizerSettings]
    transform: Callable[[Batch, int], Batch] | None = None


@dataclass(frozen=True)
class Arm:
    """One way to train one network.

    Args:
        network: -> a network with fresh weights, drawn from torch's generator.
        stages: one after the other.
        source: what it trains on.
        correction: set on it afterwards, without gradients.
        needs_teacher: whether its stages ask the teacher.
        like: another arm, earlier in the study, whose stages these are: they are not trained again.
    """

    network: Callable[[], nn.Module]
    stages: Sequence[Stage]
    source: Source
    correction: Correction | None = None
    needs_teacher: bool = True
    like: str | None = None


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
        problem: data and metrics.
        teacher: the plan for it.
        arms: by name; "student" is taught, "control" is the same alone, the others are reported beside them.
        seeds: each arm is trained once a seed; a seed gives all of them one initialisation and data order.
        resolved: the recipe as it was understood, for the record and to know the run again.
        uncontrolled: what the comparison does not hold equal, in plain words.
        expected: metric -> what the paper found and what we found.
        level: the confidence of the verdict's interval.
    """

    name: str
    problem: Problem
    teacher: TeacherPlan
    arms: Mapping[str, Arm]
    seeds: Sequence[int]
    resolved: Mapping[str, Any] = field(default_factory=dict)
    uncontrolled: Sequence[str] = ()
    expected: Mapping[str, Any] | None = None
    level: float = 0.95
