from __future__ import annotations

import sys

import pytest
import yaml

import tutelage as tl
from tutelage.errors import MissingExtra, OutputError, RecipeError, UnknownName
from tutelage.files import read_json
from tutelage.recipes import build, load
from tutelage.tuning import worker

SEARCH = {"temperature": (1, 8), "lr": (1e-3, 1e-1)}
SHORT = {"trials": 4, "finalists": 2, "seeds": 2, "device": "cpu", "quiet": True}


class Unread:
    """A test split that nobody may look at."""

    def __len__(self):
        raise AssertionError("the test split was read")

    def __getitem__(self, number):
        raise AssertionError("the test split was read")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, call_of):
    out = tmp_path_factory.mktemp("tuned") / "t"
    return tl.tune(**call_of(), test=Unread(), search=SEARCH, out=out, **SHORT), call_of


@pytest.mark.slow
def test_student_and_control_have_as_many_trials(tuned):
    found, _ = tuned
    sides = found.results["sides"]
    assert {name: len(side["trials"]) for name, side in sides.items()} == {"student": 4, "control": 4}
    assert set(found.best) == {"temperature", "lr"}
    assert set(found.control) == {"lr"}
    assert found.results["tuning"]["control"]["trials"] == 4
    assert found.results["tuning"]["student"]["seconds"] > 0
    assert [len(one["scores"]) for one in sides["student"]["finalists"]] == [2, 2]
    assert found.value == max(one["mean"] for one in sides["student"]["finalists"])
    assert read_json(found.out / "trials.json") == found.results


@pytest.mark.slow
def test_the_page_is_whole_and_weights_are_not_kept(tuned):
    found, _ = tuned
    page = found.report.read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") >= 4
    assert "http" not in page.replace("http://www.w3.org", "")
    assert not list(found.out.rglob("*.safetensors"))
    assert found.recipe is None


@pytest.mark.slow
def test_a_finished_tuning_is_only_read(tuned):
    found, call = tuned
    again = tl.tune(**call(), search=SEARCH, out=found.out, resume=True, **SHORT)
    assert (again.best, again.control) == (found.best, found.control)
    assert again.results == found.results
    with pytest.raises(OutputError, match="search"):
        tl.tune(**call(), search={"temperature": (1, 4)}, out=found.out, resume=True, **SHORT)


@pytest.mark.slow
def test_what_was_chosen_is_judged_and_its_trials_are_charged(tuned, tmp_path):
    found, call = tuned
    run = found.run(tmp_path / "run", test=call()["validation"], seeds=2, quiet=True)
    said = " ".join(run.verdict.uncontrolled)
    assert "trials of tuning took" in said
    assert "neither was tuned" not in said
    assert f"lr {found.control['lr']}" in said or found.control["lr"] == found.best["lr"]


@pytest.mark.slow
def test_a_control_with_nothing_to_tune_is_said_so(arguments, tmp_path):
    how = SHORT | {"trials": 2, "seeds": 0}
    found = tl.tune(**arguments, search={"temperature": (1, 8)}, out=tmp_path / "t", **how)
    assert "nothing to tune" in found.results["sides"]["control"]["said"]
    assert found.results["tuning"]["control"]["trials"] == 0
    assert found.control == {}
    assert "nothing to tune" in found.report.read_text()


@pytest.mark.slow
def test_a_function_of_settings_gives_the_arguments(arguments, tmp_path):
    how = SHORT | {"trials": 2, "seeds": 0}
    called = []

    def call(settings):
        called.append(dict(settings))
        return arguments | ({"label_weight": 1 - settings["soft"]} if settings else {})

    found = tl.tune(call, search={"soft": (0.1, 0.9)}, out=tmp_path / "t", **how)
    assert set(found.best) == {"soft"}
    assert found.best in called


@pytest.mark.slow
def test_trials_that_cannot_be_are_counted_and_the_rest_is_chosen(arguments, tmp_path):
    how = SHORT | {"trials": 3, "seeds": 0, "pruner": "hyperband"}
    found = tl.tune(**arguments, search={"lr": [1e-2, 1e38]}, seed=2, out=tmp_path / "t", **how)
    states = [trial["state"] for trial in found.results["sides"]["student"]["trials"]]
    assert len(states) == 3
    assert found.best["lr"] == 1e-2


@pytest.mark.slow
def test_a_recipe_is_written_that_says_how_it_was_tuned(tmp_path):
    changes = [
        "teacher.frozen.model={mlp: {widths: [8]}}",
        "teacher.frozen.train={epochs: 1, batch_size: 64}",
        "stages.0.train={epochs: 2, batch_size: 64}",
    ]
    found = tl.tune(
        "vision/digits", changes=changes, out=tmp_path / "t", storage=f"sqlite:///{tmp_path}/db", **SHORT
    )
    recipe = load(str(found.recipe))
    assert {arm: recipe.tuning[arm]["trials"] for arm in ("student", "control")} == {
        "student": 4,
        "control": 4,
    }
    assert recipe.tuning["student"]["split"] == "validation"
    study = build(recipe, "tuned")
    assert any("trials of tuning took" in said for said in study.uncontrolled)
    rates = {name: arm.stages[0].optimizers["student"].options["lr"] for name, arm in study.arms.items()}
    lr = "stages.0.optimizers.student.adamw.lr"
    assert rates["student"] == found.best[lr]
    assert rates["control"] == found.control["control.optimizers.student.adamw.lr"]
    assert yaml.safe_load(found.recipe.read_text())["tuning"] == found.results["tuning"]


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"trials": 0}, RecipeError, "trials came as 0"),
        ({"finalists": 0}, RecipeError, "finalists came as 0"),
        ({"seeds": -1}, RecipeError, "seeds came as -1"),
        ({"pruner": "medium"}, UnknownName, "'median'"),
        ({"search": {"temprature": (1, 2)}}, UnknownName, "'temperature'"),
        ({"search": {"temperature": (2, 1)}}, RecipeError, "smaller number first"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(arguments, tmp_path, how, error, said):
    with pytest.raises(error, match=said):
        tl.tune(**arguments, **{"search": SEARCH, "out": tmp_path / "t", **how})
    assert not (tmp_path / "t").exists()


def test_tuning_without_validation_is_refused(arguments, tmp_path):
    x, y = arguments["train"]
    with pytest.raises(tl.TutelageError, match="validation"):
        tl.tune(**arguments | {"validation": (x[:0], y[:0])}, search=SEARCH, out=tmp_path / "t")


def test_calls_that_name_nothing_are_refused(arguments):
    with pytest.raises(RecipeError, match="without teacher, student, train"):
        tl.tune(search=SEARCH)
    with pytest.raises(UnknownName, match="'trials'"):
        tl.tune("vision/digits", trails=3)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"tutelage\[tune\]"):
        tl.tune("vision/digits")


@pytest.mark.slow
def test_weights_that_a_kill_left_are_taken_away(arguments, tmp_path, monkeypatch):
    how = {"search": SEARCH, "out": tmp_path / "t"} | SHORT | {"trials": 2, "finalists": 1, "seeds": 1}
    own = worker.drop_weights

    class Killed(BaseException):
        """In place of a kill."""

    def killed(folder):
        if folder.name == "trial0001":
            raise Killed
        own(folder)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "drop_weights", killed)
        with pytest.raises(Killed):
            tl.tune(**arguments, **how)
    left = tmp_path / "t" / "student" / "trial0001"
    assert [*left.rglob("*.safetensors")]
    tl.tune(**arguments, **how, resume=True)
    assert not [*left.rglob("*.safetensors")]
