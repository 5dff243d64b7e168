"""Weights of a network that still changes are measured, and not kept."""

from __future__ import annotations

import pytest
from torch import nn

from tutelage.engine import Runtime, Validation
from tutelage.engine.selection import Selections


def test_the_best_are_chosen_among_those_that_are_ready():
    layer, values, ready = nn.Linear(1, 1, bias=False), [0.9, 0.5, 0.7], [False, True, True]
    at = {"now": 0}
    validation = Validation(
        lambda: {"accuracy": values[at["now"]]}, "accuracy", ready=lambda: ready[at["now"]]
    )
    chosen = Selections(
        {"student": layer},
        [validation],
        None,
        keep="best",
        folder=None,
        runtime=Runtime(cpu=True, quiet=True),
    )
    records = []
    for now in range(3):
        at["now"] = now
        nn.init.constant_(layer.weight, now)
        records.append({"step": now, "validation": chosen.look(now)["student"]})
        assert chosen.waited(records) == 0
    assert [held["validation"] for held in records] == [{"accuracy": value} for value in values]
    assert chosen.waited([*records, {"step": 3, "validation": {"accuracy": 0.6}}]) == 1
    chosen.settle()
    assert layer.weight.item() == 2
    assert chosen.best == {"step": 2, "value": pytest.approx(0.7)}
