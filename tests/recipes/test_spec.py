from __future__ import annotations

import pytest
import yaml

from tutelage.engine import OptimizerSettings
from tutelage.errors import RecipeError
from tutelage.recipes import Recipe
from tutelage.recipes.form import named
from tutelage.recipes.load import parse
from tutelage.recipes.spec import TransferSpec


def test_a_recipe_of_the_least_has_documented_defaults(plain):
    del plain["seeds"]
    recipe = parse(plain)
    assert recipe.seeds == 3
    assert recipe.control is not False
    assert recipe.control.train == {}
    assert recipe.transfer == TransferSpec(fraction=1.0, labelled=1.0, omit=(), seed=0)
    assert (recipe.also, recipe.correct, recipe.expected) == ({}, None, None)


def test_what_was_written_comes_back_from_a_dump(plain):
    plain |= {
        "correct": {"prior_bias": {"classes": [1], "prior": 0.3}},
        "transfer": {"omit": [1], "fraction": 0.5},
        "also": {"longer": {"stages": plain["stages"], "data": "train"}},
        "control": {"train": {"epochs": 2}, "optimizers": {"student": "adamw"}},
        "expected": {"accuracy": {"paper": 0.9, "source": "a book", "ours": None}},
        "tuning": {"control": {"trials": 4}, "student": {"trials": 4}},
    }
    recipe = parse(plain)
    for dump in (
        recipe.model_dump(mode="json", exclude_unset=True),
        recipe.model_dump(mode="json"),
        recipe.model_dump(exclude_defaults=True),
    ):
        assert parse(dump) == recipe
    assert parse(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))) == recipe


def test_a_schedule_and_a_warmup_come_back_from_a_dump(plain):
    written = {"adamw": {"lr": 0.01, "schedule": {"multi_step_lr": {"milestones": [0.5]}}, "warmup": 5}}
    plain["stages"][0]["optimizers"] = {"student": written}
    recipe = parse(plain)
    settings = recipe.stages[0].optimizers["student"]
    assert settings == OptimizerSettings(
        name="adamw",
        options={"lr": 0.01},
        schedule="multi_step_lr",
        schedule_options={"milestones": [0.5]},
        warmup=5,
    )
    assert parse(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("came", "name", "settings"),
    [
        ("mlp", "mlp", {}),
        ({"mlp": None}, "mlp", {}),
        ({"mlp": {"widths": [3]}}, "mlp", {"widths": [3]}),
    ],
)
def test_a_name_is_written_alone_or_with_settings(came, name, settings):
    assert (named(came).name, named(came).settings) == (name, settings)


@pytest.mark.parametrize("came", [{"mlp": {}, "vgg8": {}}, {}, ["mlp"], 3, {"mlp": 3}])
def test_a_name_is_written_in_no_other_way(plain, came):
    plain["student"] = {"model": came}
    with pytest.raises(RecipeError, match=r"student\.model.*expected a name, or one name with its settings"):
        parse(plain)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (("studnet",), "'student'"),
        (("stages", 0, "trian"), "'train'"),
        (("stages", 0, "train", "epoch"), "'epochs'"),
        (("student", "modle"), "'model'"),
        (("transfer", "fractoin"), "'fraction'"),
        (("control", "optimisers"), "'optimizers'"),
    ],
)
def test_an_unknown_key_names_the_nearest(plain, path, nearest):
    plain |= {"transfer": {}, "control": {}}
    held = plain
    for part in path[:-1]:
        held = held[part]
    held[path[-1]] = 1
    with pytest.raises(RecipeError, match=f"unknown key '{path[-1]}'. Nearest: {nearest}"):
        parse(plain)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seeds", 0, "seeds: .* greater than or equal to 1"),
        ("seeds", "many", "seeds: "),
        ("stages", [], "stages: .* at least 1 item"),
        ("transfer", {"fraction": 0.0}, r"transfer\.fraction"),
        ("transfer", {"labelled": 1.5}, r"transfer\.labelled"),
        ("control", True, "control"),
        ("also", {"control": {"stages": []}}, "also"),
        ("also", {"bare": {}}, r"also\.bare: give either `like`"),
        ("also", {"bare": {"like": "student", "data": "train"}}, "leave `data` out"),
        ("also", {"bare": {"like": "teacher"}}, r"also\.bare\.like"),
    ],
)
def test_a_value_out_of_range_says_where(plain, key, value, said):
    with pytest.raises(RecipeError, match=said):
        parse({**plain, key: value})


@pytest.mark.parametrize("name", ["teacher", "control", "student"])
def test_a_further_arm_cannot_take_the_name_of_another(plain, name):
    plain["also"] = {name: {"stages": plain["stages"]}}
    with pytest.raises(RecipeError, match="taken"):
        parse(plain)


def test_epochs_and_steps_exclude_each_other(plain):
    plain["stages"][0]["train"] = {"epochs": 1, "steps": 3}
    with pytest.raises(RecipeError, match="give either `epochs` or `steps`"):
        parse(plain)


def test_a_recipe_cannot_be_changed_in_place(recipe: Recipe):
    with pytest.raises(ValueError, match="frozen"):
        recipe.seeds = 4  # type: ignore[misc]
