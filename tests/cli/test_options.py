from __future__ import annotations

import pickle

import pytest

from tutelage.cli.label import Order
from tutelage.cli.options import Asked
from tutelage.cli.run import _again
from tutelage.errors import RecipeError
from tutelage.labelling import LabelSettings


def test_a_study_has_the_changes_and_the_seeds_that_were_asked_for():
    asked = Asked("tabular/ensemble", ("stages.0.train.epochs=7",), seeds=2)
    study = asked.study()
    assert (asked.name, study.name) == ("tabular/ensemble", "tabular/ensemble")
    assert study.arms["student"].stages[0].settings.epochs == 7
    assert list(study.seeds) == [0, 1]


def test_a_wrong_change_names_the_nearest():
    with pytest.raises(RecipeError, match="Nearest: 'seeds'"):
        Asked("vision/digits", ("seedz=3",)).study()


def test_a_recipe_of_a_file_is_called_by_its_stem():
    assert Asked("some/where/mine.yaml").name == "mine"


def test_workers_are_sent_an_order():
    asked = Asked("vision/digits", ("seeds=2",), seeds=3, cpu=True)
    order = Order(asked, "answers", LabelSettings(form="topk:4", layers=("hidden",)), "ray", 4, repair=True)
    assert pickle.loads(pickle.dumps(order)) == order


def test_the_command_that_goes_on_says_all_that_was_asked(tmp_path):
    asked = Asked("vision/digits", ("a=1", "b=x y"), seeds=2, cpu=True, quiet=True)
    words = "tutelage run vision/digits --set a=1 --set 'b=x y' --seeds 2 --cpu --tracker wandb"
    assert _again(asked, tmp_path, ["wandb"]) == f"{words} --out {tmp_path} --resume"
    assert _again(Asked("mine.yaml"), tmp_path, []) == f"tutelage run mine.yaml --out {tmp_path} --resume"
