from __future__ import annotations

import pytest
import yaml

from tutelage.cli.catalogue import everything
from tutelage.recipes import load, names
from tutelage.recipes.load import parse

KINDS = {
    "recipes": "vision/digits",
    "losses": "response.SoftTarget",
    "teachers": "frozen",
    "schemes": "offline",
    "changes": "prune",
    "models": "resnet8",
    "tasks": "tabular.classification",
    "formats": "onnx",
    "projectors": "Linear",
    "weights": "Ramp",
    "gates": "Right",
    "transforms": "Standardise",
}


@pytest.mark.parametrize(("kind", "one"), KINDS.items())
def test_each_kind_is_listed_with_a_line_about_each(cli, kind: str, one: str):
    plain, listed = cli("list", kind), cli("list", kind, "--json")
    assert plain.code == listed.code == 0
    (found,) = listed.json.values()
    assert list(listed.json) == [kind]
    assert one in [each["name"] for each in found]
    for each in found:
        assert set(each) == {"name", "about"} | ({"recipes"} if kind == "schemes" else set())
        assert each["about"], each["name"]
        assert each["name"] in plain.stdout


def test_schemes_are_listed_with_the_recipes_that_name_them(cli):
    found = {each["name"]: each["recipes"] for each in cli("list", "schemes", "--json").json["schemes"]}
    assert found["exits"][:2] == ["vision/digits_exits", "vision/mnist_one"]
    assert "vision/digits_condensed" in found["alone"]
    assert "Recipes: vision/digits_codistillation" in cli("list", "schemes").stdout


def test_recipes_are_listed_unless_another_kind_is_named(cli):
    listed = cli("list", "--json").json["recipes"]
    assert [each["name"] for each in listed] == names()
    assert all(each["about"] == load(each["name"]).about for each in listed)


def test_a_recipe_is_shown_as_yaml_that_reads_back(cli):
    answer = cli("show", "vision/digits", "--set", "transfer.labelled=0.5", "--set", "seeds=7")
    assert answer.code == 0
    shown = parse(yaml.safe_load(answer.stdout))
    assert shown == load("vision/digits", changes=["transfer.labelled=0.5", "seeds=7"])


def test_a_recipe_is_shown_as_json(cli):
    shown = cli("show", "vision/digits", "--json").json
    assert shown["name"] == "vision/digits"
    assert parse(shown["recipe"]) == load("vision/digits")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("response.SoftTarget", "response.SoftTarget(*, temperature: float = 4.0"),
        ("Ensemble", "= 'probabilities'"),
        ("SoftTarget", "Hinton"),
        ("resnet8", "\nResNet:\n"),
        ("softtarget", "Hinton"),
        ("Offline", "matches"),
        ("frozen", "In a recipe (frozen)"),
        ("resnet8", "num_classes: int"),
        ("vision.classification", "watch"),
        ("onnx", "ONNX Runtime"),
        ("teachers.Stored", "Stored(answers"),
        ("teachers.ensemble", "Ensemble(teachers"),
        ("schemes.Offline", "Offline(student"),
        ("tutelage.teachers.Stored", "Stored(answers"),
        ("losses.response.SoftTarget", "response.SoftTarget("),
        ("losses.transforms.Standardise", "transforms.Standardise("),
        ("balancing.Ramp", "Ramp("),
        ("models.mlp", "num_classes: int"),
        ("tasks.vision.classification", "watch"),
    ],
)
def test_a_method_is_shown_with_signature_and_documentation(cli, name: str, said: str):
    answer = cli("show", name)
    assert answer.code == 0
    assert said in answer.stdout


@pytest.mark.slow
def test_everything_that_is_listed_can_be_shown(cli):
    for entry in everything():
        shown = cli("show", entry.name, "--json").json
        assert entry.kind in [each["kind"] for each in shown["entries"]]
        assert all(each["doc"] and "(" in each["signature"] for each in shown["entries"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "resnt8"], "Nearest: 'resnet8'"),
        (["show", "vision/digit"], "Nearest: 'vision/digits'"),
        (["show", "eachers.Stored"], "Nearest: 'stored'"),
        (["show", "schemes.Stored"], "unknown name 'schemes.Stored'"),
        (["show", "vision/digits", "--set", "seedz=1"], "Nearest: 'seeds'"),
        (["show", "resnet8", "--set", "seeds=1"], "--set changes recipes"),
        (["show", "none.yaml"], "there is no recipe file"),
    ],
)
def test_an_unknown_name_ends_with_2_and_names_the_nearest(cli, words: list[str], said: str):
    answer = cli(*words)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
    assert said in answer.stderr
