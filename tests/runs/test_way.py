"""What a change made slower, by the latencies that were measured in turns."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from tutelage.compression import Prune
from tutelage.runs import way
from tutelage.studies import Change, Outcome
from tutelage.traced import OnnxNetwork, Stands

WAS = {"1": {"p50": 1.0, "stable": True}, "32": {"p50": 4.0, "stable": True}}


def after(stage, network=None):
    change = Change("prune", Prune(share=0.5))
    arm = SimpleNamespace(stages=[SimpleNamespace(), change])
    return SimpleNamespace(
        outcome=Outcome("student", stage=stage), arm=arm, network=network or nn.Linear(1, 1)
    )


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"p50": 1.5, "stable": True}, {"1": 1.5}),
        ({"p50": 1.5, "stable": False}, {}),
        ({"p50": 1.05, "stable": True}, {}),
        ({"p50": 0.5, "stable": True}, {}),
    ],
)
def test_a_change_that_made_it_slower_is_told_where_that_is_more_than_noise(held, told):
    assert way._slower(after(1), WAS, {"1": held, "32": WAS["32"]}) == {"slower": told}


def test_a_training_changes_no_speed():
    assert way._slower(after(0), WAS, {"1": {"p50": 2.0, "stable": True}}) == {}


def test_the_first_stop_is_held_against_nothing():
    assert way._slower(after(1), {}, WAS) == {"slower": {}}


def test_int8_says_what_the_processor_lacks(monkeypatch):
    monkeypatch.setattr(way, "missing_instructions", lambda: "VNNI")
    file = OnnxNetwork(3, Stands(1), rounded="all")
    found = way._slower(after(1, file), WAS, {"1": {"p50": 2.0, "stable": True}})
    assert found == {"slower": {"1": 2.0}, "lacking": "VNNI"}
