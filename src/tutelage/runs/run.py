"""The whole run, from a study to a report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from tutelage import report
from tutelage.engine import Runtime, StopRequest, save_weights, sharded
from tutelage.evaluation import Verdict
from tutelage.runs.beside import write_beside
from tutelage.runs.checks import check_study
from tutelage.runs.environment import environment
from tutelage.runs.folder import RunFolder
from tutelage.runs.results import collect
from tutelage.runs.study import Arm, Stage, Study, TeacherPlan
from tutelage.runs.training import Trained, evaluation_loader, train_arm
from tutelage.teachers import Ahead, Frozen, Remembered, Teacher

__all__ = ["Classroom", "Run", "run", "train_teacher"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        results: every number, as `tutelage run --json` prints them.
        student: the taught network with the best validation metric over seeds, in eval mode.
        report: the page.
        out: the folder.
    """

    results: dict[str, Any]
    student: nn.Module
    report: Path
    out: Path

    @property
    def verdict(self) -> Verdict:
        """Whether distilling helped."""
        held = self.results["verdict"]
        interval = held["interval"]
        return Verdict(
            **held
            | {
                "interval": tuple(interval) if interval else None,
                "uncontrolled": tuple(held["uncontrolled"]),
                "advice": tuple(held["advice"]),
            }
        )


def run(
    study: Study,
    out: Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    cpu: bool = False,
    trackers: Sequence[str] = (),
) -> Run | None:
    """Train, measure, compare and report.

    Args:
        study: what to do.
        out: the run's folder; it must be new, or hold this run with `resume`.
        resume: go on with a run that was stopped or killed.
        quiet: show no progress.
        cpu: stay on the CPU though there is an accelerator.
        trackers: names that Accelerate knows.

    Returns:
        the finished run on the main process, None on others.

    Raises:
        OutputError: the folder is taken, full or read-only.
        Interrupted: a stop was asked for; `resume` goes on from its checkpoint.
    """
    with StopRequest() as stop:
        runtime = Runtime(cpu=cpu, trackers=trackers, folder=str(out), quiet=quiet, stop=stop)
        check_study(study, runtime.device)
        identity = {"name": study.name, "seeds": list(study.seeds), "recipe": dict(study.resolved)}
        if runtime.is_main:
            folder = RunFolder(out, identity, resume=resume)
            resolved = dict(study.resolved) | {"seeds": len(study.seeds)}
            folder.write("recipe.yaml", yaml.safe_dump(resolved, sort_keys=False))
            folder.write("environment.json", json.dumps(environment(study), indent=2))
        runtime.wait()
        if not runtime.is_main:
            folder = RunFolder(out, identity, resume=True)
        taught, trained, answering = _train(study, folder, runtime)
        runtime.finish()
        if not runtime.is_main:
            return None
        return _close(study, folder, runtime, taught, trained, answering)


def train_teacher(study: Study, folder: Path, runtime: Runtime) -> list[Trained]:
    """Train the networks that the teacher is made of, or read those that are trained already."""
    taught = []
    for number, arm in enumerate(study.teacher.arms):
        label = "teacher" if len(study.teacher.arms) == 1 else f"teacher{number}"
        seed = study.teacher.seed + number
        taught.append(
            train_arm(arm, study.problem, runtime, folder / label, seed=seed, teacher=None, label=label)
        )
    return taught


def _train(
    study: Study, folder: RunFolder, runtime: Runtime
) -> tuple[list[Trained], dict[str, list[Trained]], float]:
    taught = train_teacher(study, folder.path, runtime)
    classroom = Classroom(study.teacher, [one.network for one in taught], runtime)
    trained: dict[str, list[Trained]] = {name: [] for name in study.arms}
    for seed in study.seeds:
        for name, arm in study.arms.items():
            asked = partial(classroom.teacher, arm) if arm.needs_teacher else None
            where, label = folder.arm(name, seed), f"{name}, seed {seed}"
            if arm.like is not None:
                _take_stages(folder.arm(arm.like, seed), where, runtime)
            trained[name].append(
                train_arm(arm, study.problem, runtime, where, seed=seed, teacher=asked, label=label)
            )
    return taught, trained, classroom.seconds


def _take_stages(trained: Path, where: Path, runtime: Runtime) -> None:
    """Put another arm's finished stages where `train_arm` finds them."""
    if runtime.is_main:
        for stage in sorted(trained.glob("stage*")):
            shutil.copytree(stage, where / stage.name, dirs_exist_ok=True)
    runtime.wait()


class Classroom:
    """Teachers for stages: a fresh one each, or one that remembers where that is right.

    Args:
        plan: where the teacher comes from.
        networks: what the plan's arms trained.
        runtime: where it answers.
        ahead: ask one that remembers about everything at the start, in the source's order.
    """

    def __init__(
        self, plan: TeacherPlan, networks: Sequence[nn.Module], runtime: Runtime, *, ahead: bool = True
    ) -> None:
        self.plan, self.networks, self.runtime, self.ahead = plan, networks, runtime, ahead
        self.seconds = 0.0  # spent in asking ahead
        self._remembered: dict[int, Remembered] = {}

    def teacher(self, arm: Arm, stage: Stage | None) -> Teacher:
        """The teacher of a stage; of what comes after the stages where there is none."""
        if not self.plan.remember or stage is None or stage.transform is not None:
            ready = self._spread(self.plan.finish(self.networks).to(self.runtime.device))
            return Ahead(ready) if self.plan.ahead and stage is not None else ready
        held = self._remembered.get(id(arm.source))
        if held is None:
            held = Remembered(self._spread(self.plan.finish(self.networks).to(self.runtime.device)))
            if self.ahead:
                clock = time.perf_counter()
                held.ask_ahead(b.to(self.runtime.device) for b in evaluation_loader(arm.source))
                self.seconds += time.perf_counter() - clock
            self._remembered[id(arm.source)] = held
        return held

    def _spread(self, teacher: Teacher) -> Teacher:
        """The teacher, those of its networks spread over the processes that asked for it."""
        for member in teacher.modules():
            if isinstance(member, Frozen) and member.sharded:
                member.spread(partial(sharded, runtime=self.runtime))
        return teacher


def _close(
    study: Study,
    folder: RunFolder,
    runtime: Runtime,
    taught: Sequence[Trained],
    trained: Mapping[str, Sequence[Trained]],
    answering: float,
) -> Run:
    student = _best(study, trained["student"]).network.eval()
    teacher = study.teacher.finish([one.network for one in taught]).beside(student).to(runtime.device)
    save_weights(folder.path / "student.safetensors", student)
    write_beside(student, study.problem, folder.path)
    outcome = collect(study, trained, teacher, taught, folder, runtime.device, answering)
    folder.write("results.json", json.dumps(outcome.results, indent=2))
    folder.write("details.json", json.dumps(outcome.details, indent=2))
    page = report.write(outcome.results, outcome.details, folder.path / "report.html")
    folder.drop_checkpoints()
    return Run(outcome.results, student, page, folder.path)


def _best(study: Study, trained: Sequence[Trained]) -> Trained:
    """The student to hand over: best by validation, the first of equals."""
    sign = 1 if study.problem.higher_is_better else -1
    return max(trained, key=lambda one: sign * (one.validation if one.validation is not None else 0.0))
