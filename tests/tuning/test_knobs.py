from __future__ import annotations

import optuna
import pytest

from tutelage.errors import RecipeError
from tutelage.tuning.knobs import Knob, read_knob, read_search


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ("1..16", Knob("k", 1.0, 16.0)),
        ("1..16:log", Knob("k", 1.0, 16.0, log=True)),
        ("1e-4..1e-1", Knob("k", 1e-4, 1e-1, log=True)),
        ("1e-4..1e-1:linear", Knob("k", 1e-4, 1e-1)),
        ("2..8:int", Knob("k", 2.0, 8.0, whole=True)),
        ("2..8:log:int", Knob("k", 2.0, 8.0, log=True, whole=True)),
        ("-1..1", Knob("k", -1.0, 1.0)),
        ("conv1|conv2", Knob("k", choices=("conv1", "conv2"))),
        ("1|2.5|null", Knob("k", choices=(1, 2.5, None))),
        (
            "{guided: a, hint: b}|{guided: c}",
            Knob("k", choices=({"guided": "a", "hint": "b"}, {"guided": "c"})),
        ),
        ((1, 16), Knob("k", 1.0, 16.0)),
        ((1, 16, "log"), Knob("k", 1.0, 16.0, log=True)),
        ((0.0001, 0.1), Knob("k", 1e-4, 1e-1, log=True)),
        ([8, 16], Knob("k", choices=(8, 16))),
    ],
)
def test_values_are_read_in_each_of_their_forms(came, expected):
    assert read_knob("k", came) == expected


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ("16..1", "smaller number first"),
        ((1, 1), "smaller number first"),
        ("0..1:log", "begin above 0"),
        ("1..2:lin", "expected a range"),
        ("1..b", "expected a range"),
        ("1.5..3:int", "whole ends"),
        ("conv1", "two or more"),
        ("a|a", "two or more"),
        ([1], "two or more"),
        (3, "expected a range"),
        ((1, 2, 3), "expected a range"),
        ([object(), 1], "plain data"),
    ],
)
def test_values_that_cannot_be_are_refused_with_the_key(came, said):
    with pytest.raises(RecipeError, match=said) as error:
        read_knob("stages.0.lr", came)
    assert "stages.0.lr" in str(error.value)


def test_texts_of_the_command_line_are_pairs():
    assert read_search(["a.b=1..2", "c=x|y"]) == {"a.b": read_knob("a.b", "1..2"), "c": read_knob("c", "x|y")}
    for text in ("a.b", "=1..2", "a="):
        with pytest.raises(RecipeError, match="KEY=VALUES"):
            read_search([text])
    with pytest.raises(RecipeError, match="twice"):
        read_search(["a=1..2", "a=1..3"])


@pytest.mark.parametrize("said", ["1..16:log", "2..8:int", '"a"|"b"', '{"guided": "a"}|null', "0..1"])
def test_a_knob_is_said_as_it_is_read(said):
    knob = read_knob("k", said)
    assert knob.said() == said
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    value = knob.suggest(trial)
    assert knob.read(trial.params) == value
    assert knob.stored(value) is not None
    assert len({str(each) for each in knob.inside()}) == 2


def test_numbers_have_four_digits_and_stay_in_their_range():
    knob = Knob("k", 0.12344, 0.2)
    assert knob.read({"k": 0.12344}) == 0.12344
    assert knob.read({"k": 0.1567891}) == 0.1568
    assert knob.stored(0.3) is None
    assert knob.stored(True) is None
    assert Knob("k", choices=("a", "b")).stored("c") is None
