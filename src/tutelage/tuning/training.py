"""The training of one trial, watched at each validation."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tutelage.engine import Runtime, StopRequest
from tutelage.errors import DataError, ModelError, NonFiniteLoss, RecipeError, TutelageWarning, UnknownName
from tutelage.files import read_json
from tutelage.studies import Arm, Stage, Study
from tutelage.training import Classroom, train_arm
from tutelage.tuning.sides import Side

if TYPE_CHECKING:
    import optuna

__all__ = ["Bench", "Ended", "drop_weights"]

_UNFIT = (DataError, ModelError, NonFiniteLoss, RecipeError, UnknownName)


@dataclass(frozen=True)
class Ended:
    """How a training ended.

    Args:
        how: `complete`, `pruned` for one that was broken off as hopeless, `failed` for one that cannot be.
        value: the metric on the validation split, of the weights that are kept.
        seconds: that it took this process, or took to train in all where that is more.
        why: what was wrong with one that failed.
    """

    how: Literal["complete", "pruned", "failed"]
    value: float | None
    seconds: float
    why: str | None = None


class _Hopeless(Exception):
    """A trial that is not worth going on with."""


class Bench:
    """Where trials are trained: by one teacher, on the same data.

    Args:
        base: the study with nothing set, whose teacher and data all trials have.
        classroom: whose teachers.
        stop: the request to stop that training heeds.
        cpu: stay on the CPU.
    """

    def __init__(self, base: Study, classroom: Classroom | None, stop: StopRequest, *, cpu: bool) -> None:
        self.base, self.classroom, self.stop, self.cpu = base, classroom, stop, cpu

    def train(
        self,
        side: Side,
        make: Callable[[], Study],
        folder: Path,
        *,
        seed: int,
        watched_by: optuna.Trial | None = None,
    ) -> Ended:
        """Train one side with one seed, or go on with it.

        Args:
            side: which.
            make: the study with a trial's values set.
            folder: where the training writes.
            seed: of initialisation, order and dropout.
            watched_by: the trial that hears of each validation, and may break it off.
        """
        clock = time.perf_counter()
        try:
            study = make()
            arm = replace(side.arm(study), source=side.arm(self.base).source)
            watch = (
                []
                if watched_by is None
                else [_Watch(watched_by, arm, side.network(study), self.base, folder)]
            )
            runtime = Runtime(cpu=self.cpu, quiet=True, stop=self.stop, callbacks=watch)
            asked = partial(self._teacher, arm) if arm.needs_teacher else None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TutelageWarning)  # of settings that are only tried
                trained = train_arm(
                    arm, self.base.problem, runtime, folder, seed=seed, teacher=asked, label=side.name
                )
        except _Hopeless:
            return Ended("pruned", None, time.perf_counter() - clock)
        except _UNFIT as error:
            return Ended("failed", None, time.perf_counter() - clock, str(error))
        seconds = max(time.perf_counter() - clock, trained.seconds_until())
        if trained.failed is not None:
            return Ended("failed", None, seconds, trained.failed)
        value = trained.validation.get(side.network(study))
        if value is None or not math.isfinite(value):
            return Ended("failed", None, seconds, f"{self.base.problem.metric} on validation came as {value}")
        return Ended("complete", value, seconds)

    def _teacher(self, arm: Arm, stage: Stage | None) -> Any:
        assert self.classroom is not None
        return self.classroom.teacher(arm, stage)


class _Watch:
    """Hands each validation to a trial, counted in updates from the first stage on."""

    def __init__(self, trial: optuna.Trial, arm: Arm, network: str, base: Study, folder: Path) -> None:
        self.trial, self.arm, self.network = trial, arm, network
        self.metric, self.folder = base.problem.metric, folder
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self.known = set(frozen.intermediate_values)

    def __call__(self, record: Mapping[str, Any]) -> None:
        if "validation" not in record:
            return
        before, stage = self._where()
        value = self._value(record, stage)
        step = before + int(record["step"])
        if value is None or not math.isfinite(value):
            return
        if step not in self.known:
            self.known.add(step)
            self.trial.report(value, step)
        if self.trial.should_prune():
            raise _Hopeless

    def _where(self) -> tuple[int, Stage]:
        """The updates of the stages that are done, and the stage that trains."""
        steps = 0
        for number, stage in self.arm.trainings:
            done = self.folder / f"stage{number}" / "fitted.json"
            if not done.exists():
                return steps, stage
            steps += read_json(done)["steps"]
        raise AssertionError("a record came after the last stage")

    def _value(self, record: Mapping[str, Any], stage: Stage) -> float | None:
        """The metric of the network that is judged; None where the stage trains others."""
        handed = list(dict.fromkeys(student.network for student in stage.declared.students))
        held = record.get("validations") or {handed[0]: record["validation"]}
        own = {stage.named(name): each for name, each in held.items()}
        return own[self.network][self.metric] if self.network in own else None


def drop_weights(folder: Path) -> None:
    """Keep of a training what says how it went; call it when it is noted, since it cannot be gone on with."""
    for file in folder.rglob("*.safetensors"):
        file.unlink(missing_ok=True)
