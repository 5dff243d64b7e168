"""One process's part in a tuning: trials of both sides, the last few, what is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tutelage.engine import Runtime, StopRequest
from tutelage.errors import RecipeError, UnknownName
from tutelage.files import write_atomically, write_json
from tutelage.modes import returned_as_it_was
from tutelage.runs.checks import check_study
from tutelage.runs.study_of import networks_of
from tutelage.studies import Study
from tutelage.studies.compared import total_steps
from tutelage.studies.identity import identity_of
from tutelage.studies.tuning import said_of_tuning
from tutelage.training import Classroom, train_teacher
from tutelage.training.rehearsal import rehearse
from tutelage.tuning.finalists import Finals
from tutelage.tuning.knobs import Knob
from tutelage.tuning.page import render, short_names
from tutelage.tuning.place import Place
from tutelage.tuning.results import SideResult, side_result, tuning_record
from tutelage.tuning.sides import Side, sides_of
from tutelage.tuning.subjects import CallSubject, RecipeSubject, Subject
from tutelage.tuning.training import Bench, Ended, drop_weights
from tutelage.tuning.tuned import Tuned
from tutelage.tuning.work import Trials

if TYPE_CHECKING:
    import optuna

__all__ = ["FIRST_SEED", "Settings", "Worker"]

FIRST_SEED = 1000
"""The seed of trials; further ones follow it. They are none of the seeds that results are judged by."""

_NO_TEST = "tuning: there is no test split, so that results are read on the split that chose the settings"

_PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class Settings:
    """How to tune: numbers of trials, of those that are trained again, of further seeds, and what draws."""

    trials: int
    finalists: int
    seeds: int
    pruner: str
    seed: int

    def check(self) -> None:
        """Refuse numbers and names that cannot be.

        Raises:
            RecipeError, UnknownName: which.
        """
        for name, least in (("trials", 1), ("finalists", 1), ("seeds", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise RecipeError(f"{name} came as {value!r}; expected a whole number from {least}")
        if self.pruner not in _PRUNERS:
            raise UnknownName("pruner", self.pruner, _PRUNERS)

    @property
    def further(self) -> list[int]:
        """The seeds that the best few are trained again with."""
        return [FIRST_SEED + 1 + number for number in range(self.seeds)]


class Worker:
    """One process's part in a tuning.

    Args:
        subject: what is tuned.
        settings: how.
        stop: the request to stop that it heeds.
        cpu: stay on the CPU.
        quiet: say nothing.
    """

    def __init__(
        self, subject: Subject, settings: Settings, stop: StopRequest, *, cpu: bool, quiet: bool
    ) -> None:
        self.subject, self.settings, self.stop = subject, settings, stop
        self.cpu, self.quiet = cpu, quiet

    def tune(
        self, knobs: Sequence[Knob], out: Path, *, storage: str | None, resume: bool, test: Any
    ) -> Tuned:
        """Go through all of it, beside others that do.

        Args:
            knobs: what is searched.
            out: the folder.
            storage: a database's URL, or None.
            resume: go on with what is there.
            test: kept for the run that judges; not read.
        """
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
            rehearse(base, runtime)
            return Bench(base, None, self.stop, cpu=self.cpu), 0.0
        rehearse(base, runtime)
        with place.lock("teacher"):  # whoever comes second waits, and reads it
            taught = train_teacher(base, place.path, runtime)
        networks = [one.network for one in taught]
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
        for trial in study.get_trials(deepcopy=False):  # a kill may have come between a note and this
            drop_weights(place.folder(side.name, f"trial{trial.number:04d}"))
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
