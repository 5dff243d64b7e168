from __future__ import annotations

import optuna
import pytest

from tutelage.engine import StopRequest
from tutelage.tuning.knobs import read_search
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
def test_a_trial_that_was_killed_before_it_had_drawn_draws_what_it_would_have(trials, monkeypatch, at):
    expected = drawn(trials("whole"))
    suggested = Trials._suggested

    def killed(self: Trials, trial: optuna.Trial) -> optuna.Trial:
        if trial.number == at:
            raise Killed
        return suggested(self, trial)

    with monkeypatch.context() as patch:
        patch.setattr(Trials, "_suggested", killed)
        with pytest.raises(Killed):
            drawn(trials("killed"))
    assert drawn(trials("killed")) == expected
