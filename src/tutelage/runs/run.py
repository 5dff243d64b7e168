"""The whole run, from a study to a report."""

from __future__ import annotations

import copy
import json
import shutil
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from torch import nn

from tutelage import report
from tutelage.compression import is_settled, settle, settled_records
from tutelage.engine import Runtime, StopRequest, save_weights
from tutelage.errors import Interrupted, ModelError, OutputError, TutelageWarning
from tutelage.evaluation import Verdict, teacher_before_training
from tutelage.export.checking import Record
from tutelage.files import read_json
from tutelage.locks import owned
from tutelage.runs.checks import check_study
from tutelage.runs.doubtful_data import warn_of_overlap
from tutelage.runs.environment import environment
from tutelage.runs.exporting import Exportable, write_student
from tutelage.runs.folder import RunFolder, free_folder, unfinished_folder
from tutelage.runs.measuring import measure_teacher
from tutelage.runs.results import Taught, collect
from tutelage.runs.scores import write_scores
from tutelage.studies import Outcome, Study
from tutelage.studies.identity import identity_of
from tutelage.studies.lessons import lesson_stages
from tutelage.tasks.problem import Problem
from tutelage.training import Classroom, Trained, train_arm, train_teacher
from tutelage.training.networks import write_beside
from tutelage.training.placebo_choice import placebo_beside
from tutelage.training.pretrained import hand_over
from tutelage.training.rehearsal import rehearse

__all__ = ["Run", "run"]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Args:
        results: every number, as `tutelage run --json` prints them.
        student: of the primary outcome the network with the best validation metric over seeds, in eval mode.
        report: the page.
        out: the folder.
        students: the same of every outcome, by name.
        problem: data and exam.
        role: the student's name in its arm.
        speaks: whether this process is the one that measured and reports.
    """

    results: dict[str, Any]
    student: nn.Module
    report: Path
    out: Path
    students: Mapping[str, nn.Module]
    problem: Problem | None = None
    role: str = "student"
    speaks: bool = True

    def __repr__(self) -> str:
        """The verdict in a line, and where the rest lies."""
        return f"Run({self.results['verdict']['word']}: {self.results['verdict']['why']}; {self.report})"

    def _repr_html_(self) -> str:
        """The table and the verdict, for notebooks."""
        console = Console(record=True, file=StringIO(), width=110)
        console.print(report.summary(self.results))
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")

    def export(
        self,
        format: str,  # noqa: A002
        path: str | Path | None = None,
        *,
        overwrite: bool = False,
        **options: Any,
    ) -> Record:
        """Write the student for use elsewhere, compared with itself on up to 100 examples of the test split.

        Args:
            format: one of `tutelage.export.formats` ("onnx", "torch_export" …), or "bundle", a folder with
                what a device needs.
            path: the file, or the bundle's folder; by default `export/student` or `export/bundle` in the
                run's folder.
            overwrite: replace what is there.
            options: `tolerance`, and the format's own, such as ONNX's `opset`, and of a run on a frame
                `encoding=None` for a file that reads encoded rows in place of the raw columns; of a bundle
                `examples`, how many test examples lie in it, and `licences`, of "student", "teacher" and
                "data".

        Returns:
            `format`, `path`, `bytes`, and how far its answers are from the student's: `max_difference`,
            `tolerance`, `examples` and `same_first_choice`.

        Raises:
            UnknownName, MissingExtra, ModelError, OutputError: see `tutelage.export.export`.
        """
        assert self.problem is not None
        student = Exportable(self.student, self.problem, self.role, self.out)
        target = None if path is None else Path(path)
        return write_student(student, format, target, overwrite=overwrite, **options)

    def save(self, folder: str | Path) -> Path:
        """Copy the student, what lies beside it and the report, without the trainings of each seed.

        Args:
            folder: a new one; `tutelage.load` and `tutelage report` read it as they read the run's own.

        Returns:
            the folder.

        Raises:
            OutputError: it is there already.
        """
        target = Path(folder)
        if target.exists():
            raise OutputError(f"{target} is there already; choose another folder, or delete that one")
        left_out = shutil.ignore_patterns(
            "seed*", "teacher*", "student", "placebo", "export", "checkpoint.safetensors"
        )
        shutil.copytree(self.out, target, ignore=left_out)
        return target

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
    out: Path | None,
    *,
    resume: bool = False,
    quiet: bool = False,
    cpu: bool = False,
    trackers: Sequence[str] = (),
    callbacks: Sequence[Callable[[Mapping[str, Any]], object]] = (),
) -> Run:
    """Train, measure, compare and report.

    Args:
        study: what to do.
        out: the run's folder; it must be new, or hold this run with `resume`. None for the next free one of
            the study's name.
        resume: go on with a run that was stopped or killed, or add seeds to a finished one.
        quiet: show no progress.
        cpu: stay on the CPU though there is an accelerator.
        trackers: names that Accelerate knows.
        callbacks: functions that are called with each record of a training's history, as it is written.

    Returns:
        the finished run, on every process.

    Raises:
        OutputError: the folder is taken, full or read-only.
        Interrupted: a stop was asked for; `resume` goes on from its checkpoint.
    """
    with StopRequest() as stop, ExitStack() as held:
        runtime = Runtime(
            cpu=cpu, trackers=trackers, folder=str(out), quiet=quiet, stop=stop, callbacks=callbacks
        )
        if out is None:
            out = unfinished_folder(study.name) if resume else free_folder(study.name)
        out = runtime.share(out)
        check_study(study, runtime.device)
        if runtime.is_main:
            warn_of_overlap(study.problem)
        rehearse(study, runtime)
        recipe = {key: value for key, value in study.resolved.items() if key != "seeds"}
        identity = {"name": study.name, "seeds": list(study.seeds), "recipe": recipe}
        identity |= {"made_of": identity_of(study)}
        if runtime.is_main:
            held.enter_context(owned(out, doing="a run"))
            folder = RunFolder(out, identity, resume=resume)
            resolved = dict(study.resolved) | {"seeds": len(study.seeds)}
            folder.write("recipe.yaml", yaml.safe_dump(resolved, sort_keys=False))
            folder.write("environment.json", json.dumps(environment(study), indent=2))
        runtime.wait()
        if not runtime.is_main:
            folder = RunFolder(out, identity, resume=True)
        try:
            study, trained, taught = _train(study, folder, runtime)
        except Interrupted as stopped:
            raise Interrupted(str(stopped), folder=out) from None
        runtime.finish()
        best = _students(study, trained)
        if runtime.is_main:
            return _close(study, folder, runtime, trained, taught, best)
        return _wait(folder, study, best)


def _train(
    study: Study, folder: RunFolder, runtime: Runtime
) -> tuple[Study, dict[str, list[Trained]], Taught]:
    taught = train_teacher(study, folder.path, runtime) if study.asks else []
    classroom = Classroom(study, [one.network for one in taught], runtime)
    study = placebo_beside(study, classroom, runtime)
    known = _look_at_teacher(study, classroom, runtime)
    trained: dict[str, list[Trained]] = {name: [] for name in study.arms}
    for seed in study.seeds:
        for name, arm in study.arms.items():
            where = folder.arm(name, seed)
            if arm.like is not None:
                _take_stages(folder.arm(arm.like, seed), where, runtime)
            trained[name].append(
                train_arm(
                    arm,
                    study.problem,
                    runtime,
                    where,
                    seed=seed,
                    teacher=partial(classroom.teacher, arm) if arm.needs_teacher else None,
                    label=f"{name}, seed {seed}",
                    keep=_wanted_early(study, name),
                )
            )
            if seed == study.seeds[0] and known is not None:
                _compare_with_control(study, name, trained[name][0], known)
    seconds = sum(one.seconds_until() for one in taught)
    seconds += study.plan.seconds() if study.asks else 0.0
    return study, trained, Taught(_ready(study, classroom, trained), seconds, classroom.seconds, known)


def _look_at_teacher(study: Study, classroom: Classroom, runtime: Runtime) -> float | None:
    """Say before hours are spent on it that a teacher has nothing to teach; its metric on validation."""
    if not study.asks or not runtime.is_main:
        return None
    teacher, problem = classroom.finished(), study.problem
    if teacher.moves or teacher.reads_labels:
        return None
    measured = measure_teacher(teacher, problem, runtime.device, split=problem.validation)
    if measured is None:
        return None
    value = measured.quality[problem.metric]
    _warn_of_teacher(study, value, None)
    return value


def _compare_with_control(study: Study, arm: str, trained: Trained, teacher: float) -> None:
    """Say after the first control that it is above the teacher, before the other seeds are trained."""
    against = study.outcomes[study.primary].against
    outcome = None if against is None else study.outcomes[against]
    if outcome is not None and outcome.arm == arm and trained.failed is None:
        control = trained.validation.get(outcome.network)
        if control is not None:
            _warn_of_teacher(study, teacher, control)


def _warn_of_teacher(study: Study, teacher: float, control: float | None) -> None:
    problem = study.problem
    said = teacher_before_training(
        teacher,
        problem.chance,
        control,
        metric=problem.metric,
        higher_is_better=problem.higher_is_better,
        examples=len(problem.validation),
    )
    for line in said if control is None else [each for each in said if "below the student" in each]:
        warnings.warn(line, TutelageWarning, stacklevel=2)


def _wanted_early(study: Study, arm: str) -> Collection[tuple[str, int]]:
    """The networks of an arm that outcomes want as an earlier stage left them, or lessons after each."""
    outcomes = [one for one in (*study.outcomes.values(), *study.way.values()) if one.arm == arm]
    after = lesson_stages(study, arm)
    parts = [part for one in outcomes for part in one.parts]
    return {(network, stage) for network, stage in parts if stage is not None} | {
        (one.network, stage) for one in outcomes if one.stage is None for stage in after
    }


def _take_stages(trained: Path, where: Path, runtime: Runtime) -> None:
    """Put another arm's finished stages where `train_arm` finds them."""
    if runtime.is_main:
        for stage in sorted(trained.glob("stage*")):
            shutil.copytree(stage, where / stage.name, dirs_exist_ok=True)
    runtime.wait()


def _ready(study: Study, classroom: Classroom, trained: Mapping[str, Sequence[Trained]]) -> Any:
    """The teacher as it is measured; beside a student, if it follows one."""
    if not study.asks:
        return None
    teacher = classroom.finished()
    done = [one for one in trained[study.outcomes[study.primary].arm] if one.failed is None]
    return teacher.beside(done[0].network) if teacher.moves and done else teacher


def _students(study: Study, trained: Mapping[str, Sequence[Trained]]) -> dict[str, tuple[nn.Module, Any]]:
    """Of each outcome the network to hand over, and what lies beside its weights."""
    found = {}
    for name, outcome in study.outcomes.items():
        one = _best(study, outcome, trained[outcome.arm])
        if one is not None:
            seen = outcome.of(one.of).eval()
            about = one.told_of(outcome.network, outcome.stage)
            if not is_settled(seen):
                seen = settle(copy.deepcopy(seen))
                about["done"] = settled_records(about.get("done", []))
            about |= {"network": outcome.network, "arm": outcome.arm}
            if outcome.members:
                about["members"] = [
                    one.told_of(each, stage) | {"network": each} for each, stage in outcome.members
                ]
            about["view"] = name if outcome.view is not None else None
            about["shapes"] = {key: list(value.shape) for key, value in seen.state_dict().items()}
            found[name] = (seen, about)
    if study.primary not in found:
        raise ModelError(
            f"every seed of the {study.primary} broke off with numbers that are not finite: "
            f"{trained[study.outcomes[study.primary].arm][0].failed}"
        )
    return found


def _best(study: Study, outcome: Outcome, trained: Sequence[Trained]) -> Trained | None:
    """The seed to hand over: best by validation, the first of equals."""
    sign = 1 if study.problem.higher_is_better else -1
    done = [one for one in trained if one.failed is None]
    return max(done, key=lambda one: sign * one.validation.get(outcome.network, 0.0), default=None)


def _close(
    study: Study,
    folder: RunFolder,
    runtime: Runtime,
    trained: Mapping[str, Sequence[Trained]],
    taught: Taught,
    students: Mapping[str, tuple[nn.Module, Any]],
) -> Run:
    for name, (network, about) in students.items():
        place = folder.path if name == study.primary else folder.path / "outcomes" / name
        save_weights(place / "student.safetensors", network)
        written = write_beside(network, study.problem, place, about)
        if name == study.primary:
            hand_over(place, written)
    if taught.teacher is not None:
        taught.teacher.to(runtime.device)
    found = collect(study, trained, taught, folder, runtime.device)
    folder.write("details.json", json.dumps(found.details, indent=2))
    for name, scores in found.scores.items():
        write_scores(folder.path, name, scores)
    folder.write("results.json", json.dumps(found.results, indent=2))
    folder.write_sums()
    report.write(found.results, found.details, folder.path / "report.html")
    folder.note_look()
    folder.drop_checkpoints()
    return _run(found.results, folder, study, students)


def _run(
    results: dict[str, Any],
    folder: RunFolder,
    study: Study,
    students: Mapping[str, tuple[nn.Module, Any]],
) -> Run:
    networks = {name: network for name, (network, _) in students.items()}
    page, role = folder.path / "report.html", study.outcomes[study.primary].network
    return Run(results, networks[study.primary], page, folder.path, networks, study.problem, role)


def _wait(folder: RunFolder, study: Study, students: Mapping[str, tuple[nn.Module, Any]]) -> Run:
    """On processes that do not measure: wait until the first one has, however long that takes."""
    while not folder.finished:
        time.sleep(0.2)
    return replace(_run(read_json(folder.path / "results.json"), folder, study, students), speaks=False)
