"""What the head of a page says, the words at its end, and warnings that repeat."""

from __future__ import annotations

import pytest

from tutelage.report.head import head
from tutelage.report.notes import notes
from tutelage.report.words import words


def told(results, details) -> dict[str, str]:
    return {name: said.replace("\u00a0", " ") for name, said in head(results, details)["head"]}


ABOUT = {
    "networks": {"teacher": "Ensemble of 3 × MLP", "student": "MLP"},
    "task": "vision.classification",
    "data": "/somewhere/mnist",
    "classes": 10,
    "date": "2026-03-04T05:06+01:00",
    "again": "tutelage run vision/mnist_hinton --set a=b --seeds 3",
}


def test_the_head_says_networks_data_task_and_date(results, details):
    assert told(results, details | {"about": ABOUT}) == {
        "Student": "MLP, 826 k parameters",
        "Teacher": "Ensemble of 3 × MLP, 24 M parameters",
        "Data": "mnist: 60,000 to train on",
        "Task": "vision.classification, 10 classes, judged by accuracy",
        "Date": "4 March 2026, 05:06",
    }
    assert head(results, {"about": ABOUT})["again"] == ABOUT["again"]


def test_the_head_of_a_run_that_noted_less_is_told_from_its_recipe(results, details):
    found = told(results, details)
    assert found["Student"] == "mlp, 826 k parameters"
    assert found["Data"] == "ylecun/mnist: 60,000 to train on"
    assert "Date" not in found
    assert head(results, details)["again"] == "tutelage run runs/mnist_hinton/recipe.yaml --seeds 3"


@pytest.mark.parametrize("recipe", ["call: tutelage.distill", "- [", "", None, "task: 3"])
def test_a_recipe_that_says_nothing_is_no_crash(results, recipe):
    assert "Data" not in told(results, {"recipe_yaml": recipe})


def test_the_same_examples_are_not_told_twice(results):
    parts = {"train": {"examples": 900}, "test": {"examples": 50}, "transfer": {"examples": 900}}
    assert told(results, {"environment": {"data": parts}})["Data"] == "900 to train on, 50 to test"
    parts["transfer"] = {"examples": 70}
    assert told(results, {"environment": {"data": parts}})["Data"].endswith("70 for the student")


def test_words_are_those_that_the_page_uses(sample):
    usual, alone = dict(words(sample.results())), dict(words(sample.alone()))
    assert {"teacher", "control", "placebo", "seed", "interval", "pp", "ECE", "p95"} <= set(usual)
    assert not {"teacher", "control", "placebo", "interval", "pp"} & set(alone)
    assert "not shown" in alone
    assert dict(words({})) == {}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (["busy", "busy"], ["busy (2 times)"]),
        (["load 3.1", "calm", "load 2"], ["load 3.1 (and 1 more like it)", "calm"]),
        (["control: seed 1 failed", "student: seed 1 failed"], ["control, student: seed 1 failed"]),
        (["class 'a' is rare", "class 'b' is rare"], ["class 'a' is rare (and 1 more like it)"]),
        (None, []),
        ("text", []),
    ],
)
def test_warnings_of_one_kind_are_said_once(said, shown):
    assert notes(said) == shown
