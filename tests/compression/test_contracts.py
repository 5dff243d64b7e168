"""What every change of a network owes; each test runs over all of `changes`, with settings of each."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration, Changed, Changer, changes, is_settled, settle, settled_records
from tutelage.tasks.networks import mlp
from tutelage.types import Batch

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "prune": [
        {"share": 0.5},
        {"share": 0.5, "by": "taylor"},
        {"share": 0.5, "structure": "weights"},
        {"share": 0.5, "structure": "weights", "scope": "global", "by": "taylor"},
        {"share": 0.5, "structure": "weights", "gradual": {"every": 2}},
        {"share": 0.5, "structure": "weights", "by": "movement", "gradual": {"every": 2}},
        {"structure": "2:4"},
        {"share": 0.5, "structure": "channels"},
        {"structure": "channels", "budget": {"parameters": 0.5}},
    ],
    "quantise": [{"how": "aware", "bits": 4}, {"how": "aware", "bits": 8, "activations": 8}],
    "factorise": [
        {"rank": 2},
        {"energy": 0.7},
        {"parameters": 0.6},
        {"rank": 2, "weighted": True},
        {"energy": 0.7, "weighted": True},
        {"parameters": 0.6, "weighted": True},
    ],
    "share": [{"bits": 3}, {"bits": {"hidden.0.linear": 2}}],
}
"""By the name of a change, the settings that it is held to the contract with."""

FINAL: dict[str, list[dict[str, Any]]] = {
    "export": [{}],
    "quantise": [{"how": "static"}, {"how": "dynamic"}, {"how": "weights"}],
}
"""The same for what no training may follow."""

ELSEWHERE = {"merge_adapter", "prune_transformer"}
"""What changes networks of Transformers alone; its own tests hold it to the same."""

INPUTS = torch.linspace(-1, 1, 40 * 12).reshape(40, 12).sin()
LABELS = torch.arange(40) % 6


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return mlp(num_classes=6, in_features=12, widths=[16, 8])


def calibration() -> Calibration:
    def batches() -> list[Batch]:
        return [
            Batch(INPUTS[at : at + 8], LABELS[at : at + 8], LABELS[at : at + 8]) for at in range(0, 40, 8)
        ]

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        return torch.nn.functional.cross_entropy(net(batch.inputs), batch.labels)

    return Calibration(batches, lambda net, batch: capture(net, batch.inputs, ()), loss)


@pytest.fixture(params=[(name, settings) for name, each in SETTINGS.items() for settings in each], ids=str)
def named(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param


def test_every_change_is_held_to_it() -> None:
    assert SETTINGS.keys() | FINAL.keys() | ELSEWHERE == changes.keys(), (
        "give each change of `changes` its settings above"
    )


def changed(named: tuple[str, dict[str, Any]], net: nn.Module) -> Changed:
    name, settings = named
    return changes[name](**settings).change(net, calibration())


def state(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_twice_is_the_same(named) -> None:
    one, other = changed(named, network()), changed(named, network())
    assert one.done == other.done
    assert same(state(one.network), state(other.network))


def test_what_was_done_is_replayed_from_json(named) -> None:
    found = changed(named, network())
    done = json.loads(json.dumps(found.done))
    kind: type[Changer] = changes[named[0]]
    anew = kind.__new__(kind).replay(network(1), done)  # its settings no longer matter
    anew.load_state_dict(found.network.state_dict())
    assert torch.equal(anew(INPUTS), found.network(INPUTS))
    assert found.network(INPUTS).isfinite().all()


def test_others_of_the_class_and_copies_stay(named) -> None:
    other = network(1)
    before = state(other)
    found = changed(named, network()).network
    twin = copy.deepcopy(found)
    assert same(state(twin), state(found))
    assert torch.equal(twin(INPUTS), found(INPUTS))
    assert same(state(other), before)
    with torch.no_grad():
        next(found.parameters()).add_(1.0)
    assert not torch.equal(twin(INPUTS), found(INPUTS))


def test_modes_and_gradients_stay(named) -> None:
    net = network().train()
    net.get_submodule("head").eval()
    frozen = net.get_submodule("hidden.0.linear")
    frozen.requires_grad_(False)
    found = changed(named, net).network
    assert found.training
    assert not any(layer.training for layer in found.get_submodule("head").modules())
    assert not any(p.requires_grad for p in found.get_submodule("hidden.0.linear").parameters())
    assert any(p.requires_grad for p in found.get_submodule("hidden.1").parameters())


def test_what_it_leaves_can_be_trained_and_settled(named) -> None:
    one = changes[named[0]](**named[1])
    found = one.change(network(), calibration())
    net = found.network
    before = state(net)
    net(INPUTS).square().mean().backward()
    torch.optim.SGD([p for p in net.parameters() if p.grad is not None], lr=0.5).step()
    assert not same(state(net), before)
    answer = net(INPUTS)
    assert is_settled(settle(net))
    assert torch.equal(net(INPUTS), answer)
    if one.settles:
        anew = network()
        for held in settled_records([{"change": named[0], "done": found.done, "settles": True}]):
            anew = one.replay(anew, held["done"])
        anew.load_state_dict(net.state_dict())
        assert torch.equal(anew(INPUTS), answer)


@pytest.mark.slow
@pytest.mark.parametrize("final", [(name, held) for name, each in FINAL.items() for held in each], ids=str)
def test_what_ends_a_chain_is_one_file_and_comes_back(final) -> None:
    pytest.importorskip("onnxruntime")
    name, settings = final
    kind: type[Changer] = changes[name]
    assert kind(**settings).final
    found, again = changed(final, network()), changed(final, network())
    assert found.done == again.done
    assert same(state(found.network), state(again.network))
    anew = kind.__new__(kind).replay(network(1), json.loads(json.dumps(found.done)))
    anew.load_state_dict(found.network.state_dict())
    assert torch.equal(anew(INPUTS), found.network(INPUTS))
