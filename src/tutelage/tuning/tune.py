"""Tune a recipe, or a call of `distill`: student and control alike, on the validation split."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tutelage.engine import Runtime, StopRequest
from tutelage.errors import RecipeError, UnknownName
from tutelage.files import write_atomically, write_json
from tutelage.modes import returned_as_it_was
from tutelage.recipes import load, name_of
from tutelage.recipes.load import parse
from tutelage.runs import Run, run
from tutelage.runs.arguments import on_cpu
from tutelage.runs.checks import check_study
from tutelage.runs.distill import networks_of
from tutelage.runs.folder import free_folder
from tutelage.studies import Study
from tutelage.studies.compared import total_steps
from tutelage.studies.identity import identity_of
from tutelage.studies.tuning import said_of_tuning
from tutelage.training import Classroom, train_teacher
from tutelage.training.rehearsal import rehearse
from tutelage.tuning.finalists import Finals
from tutelage.tuning.knobs import Knob, read_search
from tutelage.tuning.page import render, short_names
from tutelage.tuning.place import Place, need_optuna
from tutelage.tuning.results import SideResult, side_result, tuning_record
from tutelage.tuning.sides import Side, sides_of
from tutelage.tuning.subjects import CallSubject, RecipeSubject, Subject
from tutelage.tuning.training import Bench, Ended, drop_weights
from tutelage.tuning.work import Trials

if TYPE_CHECKING:
    import optuna

__all__ = ["FIRST_SEED", "Tuned", "tune"]

FIRST_SEED = 1000
"""The seed of trials; further ones follow it. They are none of the seeds that results are judged by."""

_NO_TEST = "tuning: there is no test split, so that results are read on the split that chose the settings"

_PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class Tuned:
    """What a tuning came to.

    Args:
        best: the student's values, by key.
        control: the control's, by key; empty where it has nothing to tune.
        results: everything, as `trials.json` holds it.
        out: the folder.
    """

    best: Mapping[str, Any]
    control: Mapping[str, Any]
    results: Mapping[str, Any]
    out: Path
    _study: Callable[..., AbstractContextManager[Study]] = field(repr=False)
    _cpu: bool = field(repr=False, default=False)

    @property
    def value(self) -> float:
        """The student's metric on validation, the mean over further seeds."""
        return float(self.results["sides"]["student"]["value"])

    @property
    def report(self) -> Path:
        """The page."""
        return self.out / "tune.html"

    @property
    def recipe(self) -> Path | None:
        """The chosen recipe; None where a call of `distill` was tuned."""
        path = self.out / "recipe.yaml"
        return path if path.exists() else None

    def run(
        self,
        out: str | Path | None = None,
        *,
        test: Any = None,
        seeds: int | None = None,
        resume: bool = False,
        quiet: bool = False,
    ) -> Run:
        """Train student and control with what was chosen for each, and judge them.

        Args:
            out: the run's folder; the next free one by default.
            test: of a tuned call of `distill`, the split that results are reported on, in place of the one
                that `tune` was given and did not read.
            seeds: how many; the recipe's, or 3, by default.
            resume: go on with a run that was stopped.
            quiet: show no progress.
        """
        with self._study(test=test, seeds=seeds) as study:
            return run(study, Path(out) if out else None, resume=resume, quiet=quiet, cpu=self._cpu)


@dataclass(frozen=True)
class _Settings:
    """How to tune: numbers of trials, of those that are trained again, of further seeds, and what draws."""

    trials: int
    finalists: int
    seeds: int
    pruner: str
    seed: int

    def check(self) -> None:
        for name, least in (("trials", 1), ("finalists", 1), ("seeds", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise RecipeError(f"{name} came as {value!r}; expected a whole number from {least}")
        if self.pruner not in _PRUNERS:
            raise UnknownName("pruner", self.pruner, _PRUNERS)

    @property
    def further(self) -> list[int]:
        return [FIRST_SEED + 1 + number for number in range(self.seeds)]


def tune(
    what: str | Path | Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
    *,
    search: Mapping[str, Any] | Sequence[str] | None = None,
    trials: int = 30,
    finalists: int = 3,
    seeds: int = 3,
    pruner: str = "median",
    seed: int = 0,
    changes: Sequence[str] = (),
    out: str | Path | None = None,
    storage: str | None = None,
    resume: bool = False,
    device: str | None = None,
    quiet: bool = False,
    **call: Any,
) -> Tuned:
    """Find settings for a student on the validation split, and for its control with as many trials.

    A trial trains with one seed, by the values that it draws (Optuna's TPE); the first has those that stand
    there. The best few are trained again with further seeds, and the best mean over these is chosen. The test
    split is not read. Several processes may work at one folder: start each with `resume`.

    Args:
        what: a recipe by name or path, or its plain data; or a function from a trial's settings to the
            arguments of `distill`. Without it, give the arguments of `distill` themselves: teacher, student,
            train, validation …
        search: key -> values: `(lo, hi)`, `(lo, hi, "log")`, `(lo, hi, "int")`, a list of choices, or as on
            the command line, `"1..16:log"`, `"a|b"`. Keys are dotted paths in a recipe, where a choice may be
            a mapping that is set key by key; or arguments of `distill`. By default temperatures, weights and
            learning rates.
        trials: of the student, and again of the control.
        finalists: how many of the best are trained again.
        seeds: with how many further seeds; 0 for none, and the best trial is chosen.
        pruner: what breaks off a trial that is behind: `median`, `hyperband`, or `none`.
        seed: of what is drawn.
        changes: `key=value` each, set on the recipe first.
        out: the folder; `runs/<name>-tune` or the next free one by default.
        storage: a database's URL for the trials; a journal in the folder by default. The folder must be seen
            by all processes either way.
        resume: go on with a tuning that was stopped or killed, or work at it beside others.
        device: "cpu", though there is an accelerator.
        quiet: show no progress.
        call: arguments of `distill` that all trials have.

    Returns:
        what was chosen; `.run()` then trains student and control with it, and judges them.

    Raises:
        MissingExtra: Optuna is not installed.
        RecipeError, UnknownName: what is searched, or how often, cannot be.
        OutputError: the folder or the storage holds another tuning.
        Interrupted: a stop was asked for; `resume` goes on.

    Example:
        >>> tl.tune("vision/digits", search={"stages.0.scheme.matches.0.temperature": (1, 16, "log")},
        ...         trials=20)                                                        # doctest: +SKIP
        >>> tl.tune(teacher=teacher, student=student, train=train, validation=validation,
        ...         search={"temperature": (1, 16), "lr": (1e-4, 1e-1)}).run(test=test)  # doctest: +SKIP
    """
    need_optuna()
    settings = _Settings(trials, finalists, seeds, pruner, seed)
    settings.check()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError(
            "tune came in one of several processes that train together; a trial is trained by one: start "
            "single processes on one folder, with resume=True (--resume)"
        )
    test = call.pop("test", None)
    with returned_as_it_was(*networks_of(call.get("teacher"))), _quiet_optuna(), StopRequest() as stop:
        subject = _subject(what, changes, call)
        work = _Work(subject, settings, stop, cpu=on_cpu(device), quiet=quiet)
        knobs = list(read_search(search or subject.usual()).values())
        subject.check(knobs)
        where = Path(out) if out else free_folder(f"{subject.name}-tune")
        return work.tune(knobs, where, storage=storage, resume=resume, test=test)


def _subject(what: Any, changes: Sequence[str], call: Mapping[str, Any]) -> Subject:
    if what is None:
        missing = [name for name in ("teacher", "student", "train") if name not in call]
        if missing:
            raise RecipeError(
                f"tune came without {', '.join(missing)}; give a recipe, a function of settings, or the "
                "arguments of distill: teacher, student, train, validation"
            )
        return CallSubject.of(call)
    if call:
        raise UnknownName("argument of tune", next(iter(call)), _arguments())
    if callable(what):
        return CallSubject(what)
    if isinstance(what, Mapping):
        if changes:
            raise RecipeError("changes came beside a recipe's plain data; write them into it")
        return RecipeSubject(_plain(parse(what)), "recipe")
    return RecipeSubject(_plain(load(str(what), changes=changes)), name_of(str(what)))


def _arguments() -> list[str]:
    from inspect import signature

    return [name for name in signature(tune).parameters if name not in ("what", "call")]


def _plain(recipe: Any) -> dict[str, Any]:
    return dict(recipe.model_dump(mode="json", exclude_unset=True))


class _Work:
    """One process's part in a tuning."""

    def __init__(
        self, subject: Subject, settings: _Settings, stop: StopRequest, *, cpu: bool, quiet: bool
    ) -> None:
        self.subject, self.settings, self.stop = subject, settings, stop
        self.cpu, self.quiet = cpu, quiet

    def tune(
        self, knobs: Sequence[Knob], out: Path, *, storage: str | None, resume: bool, test: Any
    ) -> Tuned:
        base = replace(self.subject.study({}), seeds=[FIRST_SEED])
        _check(base)
        base = replace(base, problem=replace(base.problem, test=None))  # which nobody reads here
        runtime = Runtime(cpu=self.cpu, quiet=self.quiet, stop=self.stop)
        check_study(base, runtime.device)
        self.maximize = base.problem.higher_is_better
        self.metric = base.problem.metric
        sides = sides_of(self.subject, knobs, base)
        place = Place(out, self._identity(knobs, base), storage=storage, resume=resume)
        bench, seconds = self._bench(base, place, runtime)
        found: dict[str, SideResult] = {}
        for side in sides:
            found[side.name] = self._side(side, place, bench, found)
        told = self._close(place, found, seconds)
        chosen = {name: found[name].chosen for name in found}
        return Tuned(
            chosen["student"],
            chosen.get("control", {}),
            told,
            out,
            lambda **how: self._final(chosen, told, test, **how),
            self.cpu,
        )

    def _identity(self, knobs: Sequence[Knob], base: Study) -> dict[str, Any]:
        how = {
            name: getattr(self.settings, name) for name in ("trials", "finalists", "seeds", "pruner", "seed")
        }
        made_of = identity_of(base)
        search = {knob.key: knob.said() for knob in knobs}
        return {
            "name": self.subject.name,
            "recipe": self.subject.record,
            "made_of": made_of,
            "search": search,
            **how,
        }

    def _bench(self, base: Study, place: Place, runtime: Runtime) -> tuple[Bench, float]:
        """Where trials are trained, once there is a teacher."""
        if not base.asks:
            rehearse(base, [], runtime)
            return Bench(base, None, self.stop, cpu=self.cpu), 0.0
        with place.lock("teacher"):  # whoever comes second waits, and reads it
            taught = train_teacher(base, place.path, runtime)
        networks = [one.network for one in taught]
        rehearse(base, networks, runtime)
        seconds = sum(one.seconds_until() for one in taught)
        return Bench(base, Classroom(base, networks, runtime), self.stop, cpu=self.cpu), seconds

    def _side(self, side: Side, place: Place, bench: Bench, found: Mapping[str, SideResult]) -> SideResult:
        """The trials of a side, and the choice among them. The control has what the student chose beside."""
        fixed: Mapping[str, Any] = found["student"].chosen if found else {}
        if not side.knobs:
            self._say(f"{side.name}: nothing to tune")
            return side_result(None, [], [], maximize=self.maximize, seeds=[])
        steps = total_steps(side.arm(bench.base), network=side.network(bench.base)) or 0
        study = place.study(side.name, maximize=self.maximize, pruner=_pruner(self.settings.pruner, steps))
        settings = self.settings

        short = short_names([knob.key for knob in side.knobs])

        def make(values: Mapping[str, Any]) -> Callable[[], Study]:
            return lambda: self.subject.joined(fixed, values) if found else self.subject.study(values)

        def train(trial: optuna.Trial, values: Mapping[str, Any]) -> Ended:
            folder = place.folder(side.name, f"trial{trial.number:04d}")
            return bench.train(side, make(values), folder, seed=FIRST_SEED, watched_by=trial)

        def again(values: Mapping[str, Any], folder: Path, seed: int) -> Ended:
            ended = bench.train(side, make(values), folder, seed=seed)
            self._say(f"{side.name}, {folder.name}: {self._figures(ended)}")
            return ended

        def tell(number: int, values: Mapping[str, Any], ended: Ended) -> None:
            drop_weights(place.folder(side.name, f"trial{number:04d}"))
            said = ", ".join(f"{short[key]} {value}" for key, value in values.items())
            self._say(
                f"{side.name}, trial {number + 1} of {settings.trials}: {self._figures(ended)} ({said})"
            )

        first = {knob.key: knob.stored(self.subject.own(knob.key)) for knob in side.knobs}
        first = {key: value for key, value in first.items() if value is not None}
        Trials(place, side.name, study, side.knobs, settings.trials, settings.seed, first, self.stop).work(
            train, tell
        )
        finals = Finals(
            place, side.name, side.network(bench.base), settings.further, settings.finalists, self.maximize
        )
        best = finals.work(study, side.knobs, again, self.stop)
        return side_result(study, side.knobs, best, maximize=self.maximize, seeds=settings.further)

    def _close(self, place: Place, found: Mapping[str, SideResult], teacher: float) -> dict[str, Any]:
        told = {
            "format": 1,
            "name": self.subject.name,
            "out": str(place.path),
            "metric": self.metric,
            "higher_is_better": self.maximize,
            "sides": {name: dict(side.told) for name, side in found.items()},
            "tuning": tuning_record(found, teacher),
            "teacher_seconds": teacher,
        }
        with place.lock("claims"):
            if isinstance(self.subject, RecipeSubject):
                chosen = [found[name].chosen if name in found else {} for name in ("student", "control")]
                tree = self.subject.joined_tree(*chosen) | {"tuning": told["tuning"]}
                said = [*tree.get("uncontrolled", []), *_said_of_split(self.subject.study({}))]
                tree |= {"uncontrolled": said} if said else {}
                text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
                write_atomically(place.path / "recipe.yaml", text.encode())
            write_json(place.path / "trials.json", told)
            write_atomically(place.path / "tune.html", render(told).encode("utf-8", errors="replace"))
        return told

    @contextmanager
    def _final(
        self, chosen: Mapping[str, Any], told: Mapping[str, Any], kept: Any, *, test: Any, seeds: int | None
    ) -> Iterator[Study]:
        """The study that judges what was chosen."""
        subject, student, control = self.subject, chosen["student"], chosen.get("control", {})
        with ExitStack() as held:
            if isinstance(subject, CallSubject):
                arguments = subject.arguments(student)
                held.enter_context(returned_as_it_was(*networks_of(arguments.get("teacher"))))
                shown = test if test is not None else kept if kept is not None else arguments.get("test")
                study = subject.final(student, control, shown)
            else:
                if test is not None:
                    raise RecipeError("test came for a recipe, whose task has the test split; leave it out")
                study = subject.joined(student, control)
            has = study.outcomes[study.primary].against is not None
            others = [each for each in study.uncontrolled if not each.startswith("tuning:")]
            yield replace(
                study,
                seeds=study.seeds if seeds is None else list(range(seeds)),
                uncontrolled=[*others, *_said_of_split(study), *said_of_tuning(told["tuning"], control=has)],
                resolved={**study.resolved, "tuning": dict(told["tuning"])},
            )

    def _figures(self, ended: Ended) -> str:
        if ended.how == "complete":
            return f"{self.metric} {ended.value:.4f} on validation, {ended.seconds:.1f} s"
        return "broken off, behind the others" if ended.how == "pruned" else f"failed: {ended.why}"

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def _said_of_split(study: Study) -> list[str]:
    return [] if study.problem.test is not None else [_NO_TEST]


def _check(base: Study) -> None:
    problem = base.problem
    if problem.validation is None or len(problem.validation) == 0:
        raise RecipeError(
            f"{base.name} has no validation split, by which trials are chosen; give it one "
            "(task: {…: {validation: 0.1}})"
        )
    if problem.validation is problem.test:
        raise RecipeError(
            f"{base.name} validates on its test split, and trials chosen there would be judged by what chose "
            "them; give it a validation split of its own"
        )


def _pruner(name: str, steps: int) -> optuna.pruners.BasePruner:
    """What breaks trials off; none in the first third of the updates, where a curve says little."""
    import optuna

    first = steps // 3
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, first), max_resource=max(1, steps))
    return optuna.pruners.NopPruner()


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Let Optuna say nothing but warnings while we work."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
