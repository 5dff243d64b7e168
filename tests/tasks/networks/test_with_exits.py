"""Exits at named layers of any network, and networks that stop early."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.networks import EarlyExit, WithExits
from tutelage.tasks.vision.models import mlp_with_exits, resnet8


class Loop(nn.Module):
    """Blocks in a list that is no Sequential, one that runs twice, and a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.twice, self.never, self.head = nn.ReLU(), nn.Linear(9, 9), nn.Linear(6, 3)
        self.calls: list[int] = []

    def forward(self, rows: Tensor) -> Tensor:
        values = self.twice(self.first(rows))
        for number in range(len(self.blocks)):
            self.calls.append(number)
            values = self.blocks[number](values)
        return self.head(self.twice(values))


def looped(**options) -> WithExits:
    torch.manual_seed(0)
    at = options.pop("at", ["blocks.1", "blocks.0"])
    return WithExits(Loop(), at=at, example=torch.zeros(1, 4), num_classes=3, **options)


def rows(count: int = 5) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(1))


def test_exits_come_in_the_order_in_which_layers_run():
    network = looped()
    assert network.at == ["blocks.0", "blocks.1"]
    assert {name: tuple(logits.shape) for name, logits in network(rows()).items()} == dict.fromkeys(
        ["logits", "exit1", "exit2"], (5, 3)
    )


def test_the_network_answers_what_it_answered_before():
    network = looped()
    assert torch.equal(network(rows())["logits"], network.network(rows()))
    assert not any(module._forward_hooks for module in network.modules())


def test_a_part_is_as_large_as_it_needs_and_stops_there():
    network = looped()
    part = network.ending_at("exit1")
    assert torch.equal(part(rows()), network(rows())["exit1"])
    assert sum(p.numel() for p in part.parameters()) == (4 * 6 + 6) + (6 * 6 + 6) + (6 * 3 + 3)
    assert part.network.blocks[0][0].weight is network.network.blocks[0][0].weight
    assert sum(p.numel() for p in network.network.blocks.parameters()) == 3 * (6 * 6 + 6)  # left as it was


def test_later_layers_are_not_run():
    network = looped()
    network.network.calls.clear()
    network.ending_at("exit1")(rows())
    network.stopping(0.0)(rows())
    assert network.network.calls == [0, 0]


@pytest.mark.parametrize("width", [0, 4])
def test_maps_get_exits_too_and_all_of_them_gradients(width):
    network = WithExits(
        resnet8(num_classes=3),
        at=["stages.0", "stages.1"],
        example=torch.zeros(1, 3, 8, 8),
        num_classes=3,
        width=width,
    ).train()
    images = torch.randn(4, 3, 8, 8)
    sum(logits.sum() for logits in network(images).values()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.eval()
    for exit_ in ("exit1", "exit2"):
        assert torch.equal(network.ending_at(exit_)(images), network(images)[exit_])
    assert ("exits.exit1.bottleneck" in dict(network.named_modules())) == bool(width)


def test_a_copy_is_a_network_of_its_own():
    network = looped()
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.network.first.weight.zero_()
    assert not torch.equal(copied(rows())["exit1"], network(rows())["exit1"])


@pytest.mark.parametrize(
    ("at", "error", "said"),
    [
        ([], ModelError, "name layers of the network"),
        (["blocks.0", "blocks.0"], ModelError, "each once"),
        (["blocks.0:input"], ModelError, "by their paths"),
        (["blocks.7"], UnknownName, "blocks"),
        (["twice"], ModelError, "twice ran 2 times"),
        (["never"], ModelError, "never ran 0 times"),
    ],
)
def test_layers_that_cannot_have_an_exit_are_refused(at, error, said):
    with pytest.raises(error, match=said):
        looped(at=at)


def test_classes_must_agree_and_features_be_tensors():
    with pytest.raises(ModelError, match="answers with 3 classes, and its exits would with 4"):
        WithExits(Loop(), at=["first"], example=torch.zeros(1, 4), num_classes=4)
    pair = nn.Sequential(nn.LSTM(4, 3), _First())
    with pytest.raises(ModelError, match="layer 0 gives tuple; an exit reads vectors, tokens or maps"):
        WithExits(pair, at=["0"], example=torch.zeros(1, 4), num_classes=3)
    with pytest.raises(UnknownName, match="exit9"):
        looped().ending_at("exit9")


class _First(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


class Told(nn.Module):
    """Answers two exits and the deepest by what it is shown: rows of three pairs of logits."""

    def until(self, enough, inputs: Tensor) -> Tensor | None:
        if enough("exit1", inputs[:, 0]) or enough("exit2", inputs[:, 1]):
            return None
        return inputs[:, 2]


SURE, UNSURE = [4.0, 0.0], [0.1, 0.0]  # 0.982, 0.525


def test_each_example_is_answered_by_its_first_sure_exit_whatever_its_batch():
    shown = torch.tensor(
        [[SURE, UNSURE, [1.0, 2.0]], [UNSURE, SURE, [1.0, 2.0]], [UNSURE, UNSURE, [1.0, 2.0]]]
    )
    network = EarlyExit(Told(), threshold=0.9)
    logits, exits = network.answered(shown)
    assert exits.tolist() == [0, 1, 2]
    assert logits.tolist() == [SURE, SURE, [1.0, 2.0]]
    for number, one in enumerate(shown):
        alone, by = network.answered(one[None])
        assert torch.equal(alone[0], logits[number])
        assert by.item() == number


def test_a_batch_goes_on_while_one_example_is_unsure():
    both = torch.tensor([[UNSURE, SURE, SURE], [SURE, UNSURE, UNSURE]])
    asked: list[str] = []

    class Noted(Told):
        def until(self, enough, inputs: Tensor) -> Tensor | None:
            return super().until(lambda name, logits: asked.append(name) or enough(name, logits), inputs)

    assert EarlyExit(Noted(), threshold=0.9).answered(both)[1].tolist() == [1, 0]
    assert asked == ["exit1", "exit2"]


def test_the_perceptron_with_exits_stops_early_too():
    torch.manual_seed(0)
    network = mlp_with_exits(num_classes=3, in_features=4, widths=[5, 6, 7]).eval()
    assert torch.equal(network.stopping(0.0)(rows()), network(rows())["exit1"])
    assert torch.equal(network.stopping(0.999)(rows()), network(rows())["logits"])
    assert network.stopping(0.5).training is False


@pytest.mark.parametrize("threshold", [-0.1, 1.0, "high", True])
def test_a_threshold_is_a_probability(threshold):
    with pytest.raises(ModelError, match="threshold came as"):
        EarlyExit(Told(), threshold=threshold)


def test_a_network_that_cannot_be_stopped_is_told_how():
    with pytest.raises(ModelError, match="Linear cannot be stopped at an exit"):
        EarlyExit(nn.Linear(2, 2), threshold=0.5)


@pytest.mark.slow
def test_parts_are_exported_and_the_early_exit_says_that_it_is_not(tmp_path):
    from tutelage.export import torch_export

    network = looped().eval()
    said = torch_export(network.ending_at("exit1"), rows(), tmp_path / "part.pt2")
    assert said["max_difference"] < 1e-5
    assert torch_export(network, rows(), tmp_path / "whole.pt2")["max_difference"] < 1e-5
    with pytest.raises(ModelError, match="Export the parts that end at its exits"):
        torch_export(network.stopping(0.5), rows(), tmp_path / "early.pt2")
