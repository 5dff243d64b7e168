"""The trials of one side: each is begun by one process, and taken up by another if that one is gone."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.engine import StopRequest
from tutelage.errors import Interrupted
from tutelage.tuning.knobs import Knob
from tutelage.tuning.place import Place
from tutelage.tuning.training import Ended

if TYPE_CHECKING:
    import optuna

__all__ = ["Trials", "check", "values_of", "wait"]

_WAIT = 0.25
"""Seconds between two looks at work that other processes have."""

TrainTrial = Callable[["optuna.Trial", Mapping[str, Any]], Ended]


@dataclass(frozen=True)
class Trials:
    """The trials of a side.

    Args:
        place: the folder.
        side: `student` or `control`.
        study: where they are noted.
        knobs: what they vary.
        count: how many there are in all.
        seed: of what is drawn.
        first: parameters of the first one: what the recipe says.
        stop: the request to stop that is heeded between trials.
    """

    place: Place
    side: str
    study: optuna.Study
    knobs: Sequence[Knob]
    count: int
    seed: int
    first: Mapping[str, Any]
    stop: StopRequest

    def work(self, train: TrainTrial, tell: Callable[[int, Mapping[str, Any], Ended], None]) -> None:
        """Train what is left, until every trial has ended, whoever trained it.

        Args:
            train: a trial and its values -> how it ended.
            tell: called after each trial with its number, values and end.
        """
        while True:
            check(self.stop)
            with self._claim() as trial:
                if trial is not None:
                    values = values_of(self.knobs, trial.params)
                    ended = train(trial, values)
                    self._note(trial, ended)
                    tell(trial.number, values, ended)
            if trial is None:
                if self.ended:
                    return
                wait(self.stop)

    @property
    def ended(self) -> bool:
        """Whether all trials have."""
        done = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.is_finished()]
        return len(done) >= self.count

    @contextmanager
    def _claim(self) -> Iterator[optuna.Trial | None]:
        """A trial that nobody works at: one that was left, or a new one; None where there is none."""
        with ExitStack() as kept:
            with self.place.lock("claims"):
                trial = self._left(kept) or self._new(kept)
            yield trial

    def _left(self, kept: ExitStack) -> optuna.Trial | None:
        from optuna.trial import Trial, TrialState

        for held in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if kept.enter_context(self.place.held(self._name(held.number))):
                self.study.sampler = self._sampler(held.number)
                return self._suggested(Trial(self.study, held._trial_id))
        return None

    def _new(self, kept: ExitStack) -> optuna.Trial | None:
        from optuna.trial import TrialState

        known = self.study.get_trials(deepcopy=False)
        waiting = [trial for trial in known if trial.state == TrialState.WAITING]
        if not known and self.first:
            self.study.enqueue_trial(dict(self.first))
        elif not waiting and len(known) >= self.count:
            return None
        self.study.sampler = self._sampler(len(known))
        trial = self.study.ask()
        had = kept.enter_context(self.place.held(self._name(trial.number)))
        assert had
        return self._suggested(trial)

    def _suggested(self, trial: optuna.Trial) -> optuna.Trial:
        """A trial with a value of each knob; what was drawn before a kill changes no other draw."""
        for place, knob in enumerate(self.knobs):
            self.study.sampler = self._sampler(trial.number, place)
            knob.suggest(trial)
        return trial

    def _sampler(self, number: int, knob: int = 0) -> optuna.samplers.BaseSampler:
        """What draws: by the trial's number, so that processes beside one another do not draw the same."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.samplers.TPESampler(
                seed=self.seed * 100_003 + number + 1_000_003 * knob, multivariate=True
            )

    def _note(self, trial: optuna.Trial, ended: Ended) -> None:
        from optuna.trial import TrialState

        trial.set_user_attr("seconds", ended.seconds)
        if ended.why is not None:
            trial.set_user_attr("why", ended.why)
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        self.study.tell(trial, ended.value if ended.how == "complete" else None, state[ended.how])

    def _name(self, number: int) -> str:
        return f"{self.side}-{number}"


def values_of(knobs: Sequence[Knob], params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a trial by key, as recipes and calls take them."""
    return {knob.key: knob.read(params) for knob in knobs}


def check(stop: StopRequest) -> None:
    """Stop here if that was asked for.

    Raises:
        Interrupted: it was.
    """
    if stop.asked:
        raise Interrupted("stopped on request; what was tried is kept")


def wait(stop: StopRequest) -> None:
    """Wait a moment for work that other processes have.

    Raises:
        Interrupted: a stop was asked for.
    """
    check(stop)
    time.sleep(_WAIT)
