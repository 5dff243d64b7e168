"""Weights spread over processes, seen from one: nothing is spread, nothing is changed."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from tutelage.engine import Runtime, rest, sharded, whole
from tutelage.engine.sharding import is_sharded, like, own, spread


def test_one_process_holds_everything():
    network = nn.Linear(2, 3)
    assert sharded(network, Runtime(cpu=True, quiet=True)) is network
    rest(network)
    assert not is_sharded([*network.parameters(), None])
    assert own(network.weight) is network.weight


def test_what_is_whole_stays_as_it_is():
    state = {"a": [torch.ones(2), (1, "b")], "c": Counter({3: 1}), "d": None}
    found = whole(state)
    assert found["a"][0] is state["a"][0]
    assert found["a"][1] == (1, "b")
    assert isinstance(found["c"], Counter)
    network = nn.Linear(2, 3)
    held = network.state_dict()
    assert spread(held, network)["weight"] is held["weight"]
    assert like(held["bias"], network.bias) is held["bias"]
