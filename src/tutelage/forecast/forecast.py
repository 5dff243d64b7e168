"""How long a run will take, and how much room it will need, from a few steps of each of its trainings."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

from tutelage.data import Loader, Source, Subset
from tutelage.engine import Runtime, TrainSettings, fit, save_weights
from tutelage.forecast.break_even import break_even
from tutelage.runs.measuring import measure_network
from tutelage.schemes import Scheme
from tutelage.studies import Arm, Study
from tutelage.tasks.problem import Problem
from tutelage.teachers import Remembered, Teacher
from tutelage.training import Classroom, evaluation_loader
from tutelage.training.changing import Unjudged
from tutelage.training.placebo_choice import placebo_beside
from tutelage.training.stage import Ready
from tutelage.training.walk import Asked, State, walk
from tutelage.types import Batch

__all__ = ["forecast"]

_WARMUP = 2
_STEPS = 8  # at most, timed after the warm-up
_BUDGET = 2.0  # seconds of timed steps, about, for each stage
_SAMPLE = 500  # examples of the validation split that are timed
_LINE = 400  # bytes of a line of history
_PAGE = 2**19  # bytes of the report, its details and the like


@dataclass(frozen=True)
class _Part:
    """What one training of one arm will cost."""

    steps: int
    step_seconds: float
    seconds: float
    disk: int
    once: float = 0.0  # seconds that the first seed pays for all, for a teacher that remembers


def forecast(
    study: Study, *, out: Path = Path("runs"), runtime: Runtime | None = None, quiet: bool = True
) -> dict[str, Any]:
    """Build all of a study, train each arm for a few steps, and say what the whole will cost.

    Every stage of every arm makes one step with a checkpoint in a temporary folder, which is removed, and
    some more that are timed. A teacher that is fitted, and not trained step by step, is fitted in full. The
    test split is not read.

    Args:
        study: what to forecast.
        out: where the run would write, to look for room there.
        runtime: where to train; a fresh one by default.
        quiet: show no progress.

    Returns:
        arms: name -> `steps` and `seconds` over all seeds, validation included, and `seconds_per_step`: the
            median after a warm-up, and over several stages the mean by their steps. Teachers stand first.
        seconds: of all training and of asking about the reported split; measuring costs adds some seconds.
        memory_bytes, memory_is: what was needed, and how that was found.
        disk_bytes: weights, checkpoints and history of all arms and seeds.
        disk_free_bytes: what is left where the run would write.
        answers: whether it pays to store the teacher's answers; see `break_even`.
        warnings: what will not do, in plain words.

    Raises:
        TutelageError: something does not build, or does not train.
    """
    runtime = runtime or Runtime(quiet=quiet)
    if runtime.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(runtime.device)
    arms: dict[str, Any] = {}
    disk = _PAGE
    networks: list[nn.Module] = []
    taught = study.plan.arms if study.asks else ()
    with tempfile.TemporaryDirectory(prefix="tutelage-check-") as folder:
        for number, arm in enumerate(taught):
            name = "teacher" if len(taught) == 1 else f"teacher{number}"
            problem = (arm.problem or study.problem).of_teacher
            state, parts = _try_arm(arm, problem, runtime, Path(folder) / name, teacher=None)
            networks.append(next(iter(state.networks.values())))
            arms[name] = _entry(parts, 1)
            disk += sum(part.disk for part in parts)
        classroom = Classroom(study, networks, runtime, ahead=False)
        study = placebo_beside(study, classroom, runtime)
        for name, arm in study.arms.items():
            asked = partial(classroom.teacher, arm) if arm.needs_teacher else None
            _, parts = _try_arm(arm, study.problem, runtime, Path(folder) / name, teacher=asked)
            arms[name] = _entry(parts if arm.like is None else parts[-1:], len(study.seeds))
            disk += len(study.seeds) * sum(part.disk for part in parts)
    taught_by = _taught_by(study, classroom)
    if study.asks and not taught:
        arms = {"teacher": {"steps": 0, "seconds_per_step": None, "seconds": study.plan.seconds()}} | arms
    free = _free_bytes(out)
    return {
        "arms": arms,
        "seconds": sum(arm["seconds"] for arm in arms.values()),
        **_memory(runtime.device),
        "disk_bytes": disk,
        "disk_free_bytes": free,
        "answers": break_even(study, taught_by, runtime.device) if taught_by is not None else None,
        "warnings": _warnings(disk, free, out),
    }


def _taught_by(study: Study, classroom: Classroom) -> Teacher | None:
    """The teacher as the first stage that asks it about data has it."""
    for arm in study.arms.values():
        for _, stage in arm.asking:
            return classroom.teacher(arm, stage)
    return None


def _entry(parts: Sequence[_Part], seeds: int) -> dict[str, Any]:
    steps = sum(part.steps for part in parts)
    return {
        "steps": steps * seeds,
        "seconds_per_step": sum(p.steps * p.step_seconds for p in parts) / steps if steps else None,
        "seconds": sum(part.seconds * seeds + part.once for part in parts),
    }


def _try_arm(
    arm: Arm, problem: Problem, runtime: Runtime, folder: Path, *, teacher: Asked | None
) -> tuple[State, list[_Part]]:
    """Walk an arm for a few steps of each training; then its correction."""
    trial = _Trial(problem, runtime, folder)
    state = walk(arm, problem, runtime, trial, seed=0, teacher=teacher)
    network = next(iter(state.networks.values()))
    sample = _sample(problem.validation)
    if arm.correction is not None:
        arm.correction(network, teacher(None) if teacher else None, evaluation_loader(sample), runtime.device)
    weights = 0
    for name, each in state.networks.items():
        save_weights(folder / f"{name}.safetensors", each)
        weights += (folder / f"{name}.safetensors").stat().st_size
    name = next(iter(state.networks))
    measuring = _validation_seconds(network, name, problem, runtime)
    measuring *= len(problem.reported) / len(problem.validation)
    return state, [*trial.parts, _Part(0, 0.0, measuring, weights)]


class _Trial(Unjudged):
    """What is done at each stage of a walk that forecasts: a few steps, timed."""

    def __init__(self, problem: Problem, runtime: Runtime, folder: Path) -> None:
        super().__init__(problem, runtime)
        self.folder = folder
        self.parts: list[_Part] = []

    def finished(self, number: int, state: State) -> bool:  # noqa: ARG002
        """Nothing is done beforehand."""
        return False

    def left(self, number: int, state: State) -> None:
        """Nothing is kept."""

    def train(self, ready: Ready) -> Source | None:
        """Make one step with a checkpoint, and some more that are timed."""
        folder, settings = self.folder / f"stage{ready.number}", ready.stage.settings
        clock = time.perf_counter()
        self._fit(ready, 1, folder)
        first = time.perf_counter() - clock
        count = _WARMUP + max(1, min(_STEPS, int(_BUDGET / first)))
        asking = median(self._fit(ready, count, None)[_WARMUP:])
        # Where a teacher remembers, the same examples, met again.
        step = median(self._fit(ready, count, None)[_WARMUP:]) if _remembers(ready.scheme) else asking
        total = settings.total_steps(len(ready.loader))
        looks = -(-total // (len(ready.loader) * settings.validate_every))
        kept = 0
        for name, network in ready.networks.items():
            save_weights(folder / f"{name}.safetensors", network)
            kept += (folder / f"{name}.safetensors").stat().st_size * (1 + (settings.keep == "best"))
        students = {student.network for student in ready.stage.declared.students}
        look = sum(
            _validation_seconds(ready.networks[name], name, self.problem, self.runtime) for name in students
        )
        lines = total // settings.log_every + looks
        disk = kept + (folder / "checkpoint.safetensors").stat().st_size + _LINE * lines
        once = max(0.0, asking - step) * min(total, len(ready.loader))
        self.parts.append(_Part(total, step, total * step + looks * look, disk, once))
        return ready.scheme.made()

    def _fit(self, ready: Ready, steps: int, where: Path | None) -> list[float]:
        timed = _Timed(ready.loader, self.runtime.device)
        fit(
            ready.scheme.turns(),
            ready.scheme.modules,
            timed,
            _shortened(ready.stage.settings, steps),
            optimizers=ready.stage.optimizers,
            runtime=self.runtime,
            folder=where,
        )
        return timed.seconds


def _remembers(scheme: Scheme) -> bool:
    return isinstance(getattr(scheme, "teacher", None), Remembered)


def _shortened(settings: TrainSettings, steps: int) -> TrainSettings:
    return settings.model_copy(update={"epochs": None, "steps": steps, "checkpoint_every": 0.0})


def _validation_seconds(network: nn.Module, name: str, problem: Problem, runtime: Runtime) -> float:
    """A look at the whole validation split, from a part of it."""
    sample = _sample(problem.validation)

    def look() -> float:
        clock = time.perf_counter()
        measure_network(network, problem, runtime.device, split=sample, name=name)
        return time.perf_counter() - clock

    look()
    return look() * len(problem.validation) / len(sample)


def _sample(source: Source) -> Source:
    return source if len(source) <= _SAMPLE else Subset(source, range(_SAMPLE))


class _Timed:
    """Batches that note how long each step took, from asking for its examples to its end."""

    def __init__(self, batches: Loader, device: torch.device) -> None:
        self.batches, self.device = batches, device
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        """The same batches."""
        begin = self._now()
        for micros in self.batches.epoch(epoch, start):
            try:
                yield micros
            finally:  # the loop leaves an epoch from within its last step
                end = self._now()
                self.seconds.append(end - begin)
                begin = end

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _memory(device: torch.device) -> dict[str, Any]:
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        return {"memory_bytes": peak, "memory_is": "the peak of what torch allocated on the accelerator"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    return {"memory_bytes": peak, "memory_is": "the peak of this process, Python, torch and data included"}


def _free_bytes(out: Path) -> int:
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _warnings(disk: int, free: int, out: Path) -> list[str]:
    if disk <= free:
        return []
    return [
        f"the run will write about {disk / 1e9:.1f} GB and {out} has {free / 1e9:.1f} GB left; choose "
        "another folder with --out, or fewer seeds"
    ]
