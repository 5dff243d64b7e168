"""A trained network as a teacher."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError, UnknownName
from tutelage.teachers import Frozen
from tutelage.types import Batch


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, 3)
    )


def batch(**changes: Any) -> Batch:
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    return Batch(inputs=changes.get("inputs", inputs), ids=torch.arange(6))


def test_it_answers_as_the_network_in_eval_mode() -> None:
    net = network()
    expected = copy.deepcopy(net).eval()(batch().inputs)
    outputs = Frozen(net)(batch())
    torch.testing.assert_close(outputs.logits, expected.detach())
    assert not outputs.features
    assert all(not p.requires_grad for p in net.parameters()), "frozen in place"


def test_batch_norm_statistics_stay() -> None:
    net = network()
    before = copy.deepcopy(net.state_dict())
    teacher = Frozen(net)
    net.train()
    teacher(batch())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_watched_layers_add_up() -> None:
    teacher = Frozen(network(), layers=["0"])
    teacher.watch(["1", "0"])
    teacher.watch(["4:input"])
    assert teacher.layers == ("0", "1", "4:input")
    assert list(teacher(batch()).features) == ["0", "1", "4:input"]


def test_a_wrong_layer_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownName, match="layer"):
        Frozen(network(), layers=["fc"])
    teacher = Frozen(network())
    with pytest.raises(UnknownName, match="layer"):
        teacher.watch(["9"])
    assert teacher.layers == ()


def test_a_replaced_layer_is_in_eval_mode_too() -> None:
    net = network()
    teacher = Frozen(net)
    net[3] = nn.Dropout(0.9)
    assert torch.equal(teacher(batch()).logits, teacher(batch()).logits)


def test_no_graph_is_built() -> None:
    outputs = Frozen(network(), layers=["0"])(batch(inputs=torch.randn(6, 4, requires_grad=True)))
    assert not outputs.logits.requires_grad
    assert not outputs.features["0"].requires_grad


def test_gradient_reaches_the_input_when_asked() -> None:
    net = network()
    teacher = Frozen(net, layers=["0"], input_gradient=True)
    net.requires_grad_(True)  # somebody thaws it
    x = torch.randn(6, 4, requires_grad=True)
    outputs = teacher(batch(inputs=x))
    (outputs.logits.square().sum() + outputs.features["0"].square().sum()).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())
    with torch.no_grad():
        assert not teacher(batch(inputs=x)).logits.requires_grad


def test_bfloat16_computes_low_and_answers_in_float32() -> None:
    net, seen = network(), []
    net[0].register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    full = Frozen(net)(batch())
    low = Frozen(net, precision="bfloat16", layers=["0"])(batch())
    assert seen == [torch.float32, torch.bfloat16]
    assert low.logits.dtype == low.features["0"].dtype == torch.float32
    torch.testing.assert_close(low.logits, full.logits, rtol=0.05, atol=0.05)
    assert not torch.equal(low.logits, full.logits)
    assert net[0].weight.dtype == torch.float32


def test_float32_switches_a_surrounding_autocast_off() -> None:
    net = network()
    plain = Frozen(net)(batch()).logits
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Frozen(net, precision="float32")(batch()).logits, plain)
        assert Frozen(net)(batch()).logits.dtype == torch.bfloat16


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"'float16'.*Nearest: 'bfloat16', 'float32'|'float16'.*'bfloat16'"):
        Frozen(network(), precision="float16")


def test_a_network_without_parameters_has_a_precision_too() -> None:
    logits = Frozen(nn.Identity(), precision="bfloat16")(batch()).logits
    assert torch.equal(logits, batch().inputs)


def test_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: original(module, backend=backend))
    net = network()
    teacher = Frozen(net, compiled=True)
    torch.testing.assert_close(teacher(batch()).logits, Frozen(net)(batch()).logits)
    assert graphs
    assert teacher.state_dict().keys() == Frozen(net).state_dict().keys()
    teacher.watch(["0"])
    assert teacher(batch()).features["0"].shape == (6, 8)
    net.train()
    assert torch.equal(teacher(batch()).logits, teacher(batch()).logits)


def test_a_deep_copy_answers_alike_and_stands_alone() -> None:
    teacher = Frozen(network())
    twin = copy.deepcopy(teacher)
    torch.testing.assert_close(twin(batch()).logits, teacher(batch()).logits)
    nn.init.zeros_(teacher.network[4].weight)
    assert not torch.equal(twin(batch()).logits, teacher(batch()).logits)


def test_it_moves_and_answers_in_float64() -> None:
    teacher = Frozen(network()).to(torch.float64)
    assert teacher(batch(inputs=batch().inputs.double())).logits.dtype == torch.float64


def test_an_answer_without_logits_is_refused() -> None:
    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> None:
            return None

    with pytest.raises(ModelError, match="NoneType"):
        Frozen(Silent())(batch())
