"""Rounding that the next training goes through: what is rounded, what is left alone, what comes back."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration, Quantise, settle, settled_records
from tutelage.errors import ModelError, UnknownName
from tutelage.types import Batch

ROWS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


def calibration(rows: Tensor = ROWS, count: int = 1) -> Calibration:
    return Calibration(
        lambda: (Batch(rows, torch.arange(len(rows))) for _ in range(count)),
        lambda network, batch: capture(network, batch.inputs, []),
    )


def make(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )


HOWS = [
    {"bits": 4},
    {"bits": 2, "ends": None},
    {"bits": 4, "step": "range"},
    {"bits": 8, "activations": 8},
    {"bits": 4, "activations": 4, "step": "range"},
]


@pytest.mark.parametrize("settings", HOWS, ids=str)
def test_the_contract_of_changes(settings):
    change = Quantise(how="aware", **settings)
    first, other = change.change(make(), calibration()), change.change(make(), calibration())
    assert first.done == other.done == json.loads(json.dumps(first.done))
    assert all(
        torch.equal(*pair)
        for pair in zip(first.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    )
    network = first.network.eval()
    expected = network(ROWS)
    assert expected.isfinite().all()
    assert torch.equal(copy.deepcopy(network)(ROWS), expected)
    anew = Quantise.__new__(Quantise).replay(make(1), json.loads(json.dumps(first.done)))
    anew.load_state_dict(network.state_dict())
    assert torch.equal(anew.eval()(ROWS), expected)
    assert not hasattr(make()[0], "parametrizations")


@pytest.mark.parametrize("settings", HOWS, ids=str)
def test_what_is_handed_over_answers_as_what_was_trained(settings):
    found = Quantise(how="aware", **settings).change(make(), calibration())
    network = found.network
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    before = [held.clone() for held in network.parameters()]
    for _ in range(3):
        optimizer.zero_grad()
        network(ROWS).square().mean().backward()
        optimizer.step()
    assert all(not torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))
    expected = network.eval()(ROWS)
    plain = settle(copy.deepcopy(network))
    records = settled_records([{"change": "quantise", "done": found.done, "settles": True}])
    assert len(records) == ("activations" in settings)
    rebuilt = make(1)
    for held in records:
        Quantise.__new__(Quantise).replay(rebuilt, held["done"])
    rebuilt.load_state_dict(plain.state_dict())
    torch.testing.assert_close(rebuilt.eval()(ROWS), expected, rtol=0, atol=0)
    assert all(len(row.unique()) <= 2 ** settings["bits"] for row in plain[2].weight)


def test_the_ends_have_more_bits_and_inputs_after_a_relu_no_sign():
    done = Quantise(how="aware", bits=4, activations=8).change(make(), calibration()).done
    assert [one["bits"] for one in done["layers"]] == [8, 4, 8]
    assert [one["unsigned"] for one in done["layers"]] == [False, True, True]


def test_layers_that_cannot_be_rounded_are_named():
    network = nn.ModuleDict(
        {
            "one": nn.Linear(4, 4),
            "tied": nn.Linear(4, 4),
            "normed": nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
            "free": nn.Linear(4, 4),
            "attention": nn.MultiheadAttention(4, 1),
        }
    )
    network["tied"].weight = network["one"].weight
    done = Quantise(how="aware").change(network).done
    assert [one["layer"] for one in done["layers"]] == ["free"]
    assert set(done["left"]) == {"one", "tied", "normed", "attention.out_proj"}
    assert "shares" in done["left"]["tied"]


def test_twice_is_refused_in_words():
    network = Quantise(how="aware").change(make()).network
    with pytest.raises(ModelError, match=r"no linear or convolutional layer to round.*computed from others"):
        Quantise(how="aware").change(network)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"how": "aware", "bits": 3}, ValueError, "bits came as 3; 8, 4 or 2"),
        ({"how": "aware", "activations": 16}, ValueError, "activations came as 16"),
        ({"how": "aware", "step": "leant"}, UnknownName, "Nearest: 'learned'"),
        ({"how": "awares"}, UnknownName, "Nearest: 'aware'"),
        ({"how": "aware", "bit": 4}, UnknownName, "Nearest: 'bits'"),
        ({"how": "static", "examples": 0}, ValueError, "examples=0"),
        ({"how": "static", "calibration": "ranges"}, UnknownName, "Nearest: 'range'"),
        ({"how": "static", "numbers": "int4"}, UnknownName, "kind of numbers"),
        ({"how": "weights", "bits": 2}, ValueError, "8 or 4"),
        ({"how": "weights", "keep_float": -1}, ValueError, "keep_float came as -1"),
        ({"how": "dynamic", "keep_float": -1}, ValueError, "keep_float came as -1"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings, error, said):
    with pytest.raises(error, match=said):
        Quantise(**settings)


def test_a_network_without_layers_to_round():
    with pytest.raises(ModelError, match=r"no linear or convolutional layer to round in ReLU"):
        Quantise(how="aware").change(nn.ReLU())


def test_activations_need_examples_that_are_numbers():
    change = Quantise(how="aware", activations=8)
    with pytest.raises(ModelError, match="looks at examples, and was given none"):
        change.change(make())
    with pytest.raises(ModelError, match="the calibration has none"):
        change.change(make(), calibration(count=0))
    with pytest.raises(ModelError, match="0 reads NaN or infinite"):
        change.change(make(), calibration(ROWS / 0))
