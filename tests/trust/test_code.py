from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

import tutelage.losses
from tutelage.compression import Changer
from tutelage.errors import ModelError, RecipeError
from tutelage.losses.loss import Loss
from tutelage.recipes import build, load
from tutelage.recipes.load import parse
from tutelage.recipes.names import call, find
from tutelage.tasks.vision import models
from tutelage.trust import allowed, is_allowed, kept, outside_name, said_in, trusting

MINE = """
import subprocess
from subprocess import check_call
import torch.nn as nn
from tutelage.losses import Loss

class Net(nn.Module):
    def __init__(self, num_classes, width=2):
        super().__init__()

class Mine(Loss):
    place = "logits"
    def forward(self, student, teacher):
        return student.sum()

def open_ended(num_classes):
    return nn.Linear(2, num_classes)

def wrong(num_classes):
    return 3

def says_so(num_classes) -> int:
    return 3

number = 3
open(__file__ + ".ran", "w").close()
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package of the user's; it leaves a mark when it is imported."""
    (tmp_path / "my_nets.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "my_nets.py.ran"
    sys.modules.pop("my_nets", None)


def test_nothing_outside_is_imported_before_the_user_says_so(mine: Path):
    with pytest.raises(RecipeError, match=r"add --allow my_nets \(in Python trust=\['my_nets'\]\)"):
        find("model", "my_nets:Net", models)
    assert not mine.exists()
    with trusting(["my_nets"]):
        assert issubclass(find("model", "my_nets:Net", models), nn.Module)
        assert find("loss", "my_nets:Mine", tutelage.losses).__name__ == "Mine"
    assert mine.exists()
    assert allowed() == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_nets:number", "is a int"),
        ("my_nets:says_so", "gives something else"),
        ("my_nets:subprocess.check_call", "leads through the module subprocess"),
        ("my_nets:check_call", "a function of subprocess, which you have not allowed"),
        ("my_nets:wrong", "gave a int; expected a Module"),
    ],
)
def test_what_is_named_must_give_what_is_wanted(mine: Path, name: str, said: str):
    def named() -> object:
        return call("model", name, find("model", name, models), {"num_classes": 2})

    with trusting(["my_nets"]), pytest.raises((RecipeError, ModelError), match=said):
        named()


def test_a_function_that_says_nothing_is_held_to_what_it_gives(mine: Path):
    with trusting(["my_nets:open_ended"]):
        found = find("model", "my_nets:open_ended", models)
        assert isinstance(call("model", "my_nets:open_ended", found, {"num_classes": 2}), nn.Linear)
        with pytest.raises(RecipeError, match="--allow my_nets"):  # that name alone was allowed
            find("model", "my_nets:Net", models)


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:run",
        "builtins:exec",
        "tutelage.trust.code:importlib.import_module",
        "tutelage.files:write_atomically",
        "tutelage.recipes.load:_from_python",
        "tutelage.files:read_json",
        "tutelage.cli.app:main",
        "sklearn.ensemble:ExtraTreesClassifier",
    ],
)
@pytest.mark.parametrize("kind", ["model", "loss", "task", "scheme", "projector", "change"])
def test_no_recipe_reaches_what_is_no_part_of_one(kind: str, name: str):
    with pytest.raises(RecipeError, match=r"--allow|gives something else|leads through"):
        find(kind, name, models)


def test_classes_of_scikit_learn_may_stand_for_predictors():
    methods = ("fit", "predict_proba")
    assert outside_name("predictor", "sklearn.ensemble:ExtraTreesClassifier", methods)
    with pytest.raises(RecipeError, match="fit and predict_proba"):
        outside_name("predictor", "sklearn.preprocessing:StandardScaler", methods)
    with pytest.raises(RecipeError, match="class or function"):
        outside_name("predictor", "sklearn.datasets:fetch_openml", methods)


def test_prefixes_are_whole_parts_of_a_name():
    with trusting(["my.package"]):
        assert is_allowed("model", "my.package:Net")
        assert is_allowed("model", "my.package.nets:Net")
        assert not is_allowed("model", "my.packages:Net")
        assert not is_allowed("model", "my:Net")
    assert not is_allowed("model", "tutelages:Net")


@pytest.mark.parametrize("came", ["", "os; ls", "../mine", "a b", "mine:", ":Name"])
def test_what_is_no_module_cannot_be_allowed(came: str):
    with pytest.raises(RecipeError, match="expected a module"), trusting([came]):
        pass


def test_what_is_called_later_may_name_what_might_be_named_before():
    with trusting(["mine"]):
        later = kept(allowed)
    assert (later(), allowed()) == (("mine",), ())


def test_what_was_typed_is_said():
    assert said_in("student.model={my.nets:Net: {width: 3}}") == ["my.nets:Net"]
    assert said_in("train.epochs=3") == []


RECIPE = {
    "task": {"tabular.classification": {"data": "sklearn.iris"}},
    "student": {"model": {"my_nets:Net": {}}},
    "stages": [
        {
            "scheme": {"offline": {"matches": [{"loss": "my_nets:Mine"}]}},
            "optimizers": {"student": "sgd"},
            "train": {"epochs": 1},
        }
    ],
    "teacher": "virtual",
}


def test_a_recipe_in_python_is_trusted_by_the_call(mine: Path):
    with pytest.raises(RecipeError, match="--allow my_nets"):
        build(parse(RECIPE), "mine")
    study = build(parse(RECIPE), "mine", trust=["my_nets"])
    assert study.first.networks["student"]().__class__.__name__ == "Net"
    _, stage = next(study.first.trainings)
    assert stage.scheme  # its terms are built again for each seed, when nobody says anything any more


def test_a_program_is_not_run_to_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "recipe.py"
    file.write_text("from pathlib import Path\nPath('RAN').touch()\nrecipe = {}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"is a program.*--allow .*recipe\.py"):
        load(str(file), only_look=True)
    assert not Path("RAN").exists()
    with trusting(["recipe.py"]), pytest.raises(RecipeError, match="Field required"):
        load(str(file), only_look=True)
    assert Path("RAN").exists()


def test_kinds_are_those_of_the_rooms():
    assert issubclass(find("loss", "tutelage.losses.response:SoftTarget", tutelage.losses), Loss)
    assert issubclass(find("change", "tutelage.compression:Prune", tutelage.compression), Changer)
