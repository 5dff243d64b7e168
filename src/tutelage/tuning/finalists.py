"""The best trials of a side, trained again with further seeds: a trial's luck does not choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from tutelage.engine import StopRequest
from tutelage.errors import ModelError
from tutelage.files import read_json, write_json
from tutelage.tuning.knobs import Knob
from tutelage.tuning.place import Place
from tutelage.tuning.training import Ended, drop_weights
from tutelage.tuning.work import check, values_of, wait

if TYPE_CHECKING:
    import optuna

__all__ = ["Finalist", "Finals"]


@dataclass(frozen=True)
class Finalist:
    """A setting that was trained with further seeds.

    Args:
        number: of its trial.
        values: by key.
        scores: the metric on validation, by seed; of those that did not break off.
        seconds: of all its further trainings.
    """

    number: int
    values: Mapping[str, Any]
    scores: Sequence[float]
    seconds: float

    @property
    def mean(self) -> float | None:
        """The mean over its seeds; None where one of them broke off."""
        return fmean(self.scores) if self.scores else None


@dataclass(frozen=True)
class Finals:
    """The last few of a side.

    Args:
        place: the folder.
        side: `student` or `control`.
        network: whose metric counts.
        seeds: the further ones; none where the best trial is chosen as it is.
        count: how many settings are trained again.
        maximize: whether more is better.
    """

    place: Place
    side: str
    network: str
    seeds: Sequence[int]
    count: int
    maximize: bool

    def work(
        self,
        study: optuna.Study,
        knobs: Sequence[Knob],
        train: Callable[[Mapping[str, Any], Path, int], Ended],
        stop: StopRequest,
    ) -> list[Finalist]:
        """Train what is left, wait for what others train, and read all of it.

        Args:
            study: the trials, all of which have ended.
            knobs: what they varied.
            train: values, folder and seed -> how it ended.
            stop: the request to stop.

        Raises:
            ModelError: no trial came to an end.
        """
        best = self._best(study)
        jobs = [(trial, seed) for trial in best for seed in self.seeds]
        while left := [job for job in jobs if not self._done(self._folder(*job))]:
            check(stop)
            mine = [job for job in left if self._train(*job, knobs, train)]
            if not mine:
                wait(stop)
        return [self._read(trial, knobs) for trial in best]

    def _best(self, study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        complete = [one for one in trials if one.state == TrialState.COMPLETE]
        if not complete:
            why = next(
                (one.user_attrs["why"] for one in trials if "why" in one.user_attrs), "they were pruned"
            )
            raise ModelError(f"none of the {len(trials)} trials of the {self.side} came to an end: {why}")
        sign = -1 if self.maximize else 1
        ranked = sorted(complete, key=lambda one: (sign * (one.value or 0.0), one.number))
        return ranked[: self.count if self.seeds else 1]

    def _train(
        self,
        trial: optuna.trial.FrozenTrial,
        seed: int,
        knobs: Sequence[Knob],
        train: Callable[[Mapping[str, Any], Path, int], Ended],
    ) -> bool:
        folder = self._folder(trial, seed)
        with self.place.held(f"{self.side}-{folder.name}") as had:
            if not had or self._done(folder):
                return had
            ended = train(values_of(knobs, trial.params), folder, seed)
            if not self._done(folder):
                write_json(folder / "failed.json", {"why": ended.why})
            drop_weights(folder)
            return True

    def _read(self, trial: optuna.trial.FrozenTrial, knobs: Sequence[Knob]) -> Finalist:
        values = values_of(knobs, trial.params)
        if not self.seeds:
            assert trial.value is not None
            return Finalist(trial.number, values, [trial.value], 0.0)
        found = [self._folder(trial, seed) / "trained.json" for seed in self.seeds]
        held = [read_json(file) for file in found if file.exists()]
        scores = [one["validation"][self.network] for one in held]
        whole = len(scores) == len(self.seeds)
        return Finalist(trial.number, values, scores if whole else [], sum(one["seconds"] for one in held))

    def _folder(self, trial: optuna.trial.FrozenTrial, seed: int) -> Path:
        return self.place.folder(self.side, f"trial{trial.number:04d}-seed{seed}")

    def _done(self, folder: Path) -> bool:
        return (folder / "trained.json").exists() or (folder / "failed.json").exists()
