from __future__ import annotations

from typing import Any

import optuna
import pytest

from tutelage.engine import StopRequest
from tutelage.tuning.knobs import Knob, read_search
from tutelage.tuning.place import Place
from tutelage.tuning.training import Ended
from tutelage.tuning.work import Trials


class Killed(BaseException):
    """In place of a kill."""


@pytest.fixture
def trials(tmp_path):
    """Five trials of a parabola, in a folder by name; noted where they were noted before."""
    knobs = [*read_search({"temperature": (1, 8), "lr": (1e-3, 1e-1)}).values()]

    def make(name: str) -> Trials:
        place = Place(tmp_path / name, {"name": name}, storage=None, resume=True)
        study = place.study("student", maximize=True, pruner=optuna.pruners.NopPruner())
        return Trials(place, "student", study, knobs, 5, 0, {}, StopRequest())

    return make


def drawn(trials: Trials) -> list[dict[str, float]]:
    trials.work(
        lambda _, values: Ended("complete", -((values["lr"] - 0.01) ** 2), 0.1, None), lambda *_: None
    )
    return [trial.params for trial in trials.study.get_trials()]


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("after", [0, 1])
def test_a_trial_that_was_killed_while_it_drew_draws_what_it_would_have(trials, monkeypatch, at, after):
    expected = drawn(trials("whole"))
    suggest = Knob.suggest

    def killed(self: Knob, trial: optuna.Trial) -> Any:
        if trial.number == at and len(trial.params) == after:
            raise Killed
        return suggest(self, trial)

    with monkeypatch.context() as patch:
        patch.setattr(Knob, "suggest", killed)
        with pytest.raises(Killed):
            drawn(trials("killed"))
    assert drawn(trials("killed")) == expected
