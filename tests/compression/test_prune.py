"""Whole hidden units are taken out, by magnitude, wherever linear layers alone read them."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tutelage.compression import Prune
from tutelage.compression.hidden import hidden_layers
from tutelage.errors import ModelError
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.models import mlp_with_exits, resnet8


class Residual(nn.Module):
    """One hidden layer beside a shortcut; what the shortcut adds to may not be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer, self.head = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = functional.dropout(functional.gelu(self.inner(rows)).tanh(), 0.1, self.training)
        return self.head(torch.relu(rows + self.outer(hidden)))


class Opaque(nn.Module):
    """Cannot be traced as a whole, but its part can."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(torch.stack(list(rows)))


class Twice(nn.Module):
    """Calls a layer twice, so that its units have two meanings."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, rows: Tensor) -> Tensor:
        return self.head(self.same(self.same(rows).relu()).relu())


class Answers(nn.Module):
    """Gives a hidden layer away beside its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(rows).relu()
        return self.head(hidden), hidden


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (
            mlp(num_classes=3, in_features=12, widths=[8, 6], dropout=0.1, activation="silu"),
            {"hidden.0.linear": ["hidden.1.linear"], "hidden.1.linear": ["head"]},
        ),
        (
            mlp_with_exits(num_classes=3, in_features=12, widths=[8, 6]),
            {"hidden.0.linear": ["exits.exit1", "hidden.1.linear"], "hidden.1.linear": ["head"]},
        ),
        (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), {"0": ["2"]}),
        (Residual(), {"inner": ["outer"]}),
        (Opaque(), {"body.0": ["body.2"]}),
        (Twice(), {}),
        (Answers(), {}),
        (nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)), {}),
        (resnet8(num_classes=3), {}),
    ],
    ids=["mlp", "exits", "sequential", "residual", "opaque", "twice", "answers", "norm", "resnet"],
)
def test_a_layer_is_hidden_where_linear_layers_alone_read_it(network, found):
    assert hidden_layers(network) == found


def test_the_units_with_the_smallest_product_of_norms_go():
    network = nn.Sequential(nn.Linear(1, 4, bias=False), nn.ReLU(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
        network[2].weight.copy_(torch.tensor([[5.0, 1.0, 2.0, 0.5]]))  # products 5, 2, 6, 2
    done = Prune(share=0.5).change(network).done
    assert done == {"kept": {"0": [0, 2]}}
    assert network[0].weight.tolist() == [[1.0], [3.0]]
    assert network[2].weight.tolist() == [[5.0, 2.0]]


def test_all_readers_of_a_unit_count():
    network = mlp_with_exits(num_classes=1, in_features=1, widths=[2, 1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
        network.hidden[1].linear.weight.copy_(torch.tensor([[1.0, 0.5]]))
        network.exits["exit1"].weight.copy_(torch.tensor([[1.0, 9.0]]))
    assert Prune(share=0.5).change(network).done["kept"]["hidden.0.linear"] == [1]
    assert network.exits["exit1"].weight.tolist() == [[9.0]]
    assert network(torch.ones(2, 1))["exit1"].shape == (2, 1)


def make(kind: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    build = {"mlp": mlp, "exits": mlp_with_exits}[kind]
    return build(num_classes=3, in_features=12, widths=[8, 6]).eval()


@pytest.mark.parametrize("kind", ["mlp", "exits"])
def test_what_is_left_answers_as_if_the_units_were_silent(kind: str):
    network, inputs = make(kind, 0), torch.randn(5, 12)
    silent = copy.deepcopy(network)
    kept = Prune(share=0.5).change(network).done["kept"]
    for path, units in kept.items():
        gone = [unit for unit in range(silent.get_submodule(path).out_features) if unit not in units]
        for reader in hidden_layers(silent)[path]:
            with torch.no_grad():
                silent.get_submodule(reader).weight[:, gone] = 0
    expected, found = silent(inputs), network(inputs)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", ["mlp", "exits"])
def test_a_network_that_was_built_anew_takes_the_same_shape(kind: str):
    network, anew, inputs = make(kind, 0), make(kind, 1), torch.randn(5, 12)
    prune = Prune(share=0.5)
    done = json.loads(json.dumps([prune.change(network).done, prune.change(network).done]))
    for one in done:
        Prune.__new__(Prune).replay(anew, one)  # its settings no longer matter
    anew.load_state_dict(network.state_dict())
    torch.testing.assert_close(anew(inputs), network(inputs), rtol=0, atol=0)


def test_a_frozen_layer_stays_frozen_and_one_unit_stays():
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    network[0].requires_grad_(False)
    Prune(share=0.9).change(network)
    assert network[0].out_features == network[2].in_features == 1
    assert [p.requires_grad for p in network.parameters()] == [False, False, True, True]


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5])
def test_a_share_out_of_range_is_refused(share: float):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        Prune(share=share)


def test_a_network_without_hidden_linear_layers_is_refused():
    with pytest.raises(ModelError, match="no hidden linear layer in ResNet"):
        Prune(share=0.5).change(resnet8(num_classes=3))
