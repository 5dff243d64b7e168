from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration, Factorise
from tutelage.compression.low_rank import TwoLayers
from tutelage.errors import DataError, ModelError, UnknownName
from tutelage.tasks.networks import mlp
from tutelage.types import Batch


def shown(inputs: Tensor, *, size: int = 16) -> Calibration:
    """Calibration with some inputs."""
    batches = [
        Batch(inputs[at : at + size], torch.arange(at, min(at + size, len(inputs))))
        for at in range(0, len(inputs), size)
    ]
    return Calibration(lambda: batches, lambda net, batch: capture(net, batch.inputs, ()))


def linear(rows: list[list[float]], bias: bool = False) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=bias)
    layer.weight = nn.Parameter(torch.tensor(rows))
    return layer


def test_a_number_worked_out_by_hand():
    """diag(4, 2, 1) keeps 4 at rank 1; its first layer and its second have the root of it."""
    network = nn.Sequential(linear([[4.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]]))
    done = Factorise(rank=1).change(network).done
    assert done == {"ranks": {"0": 1}, "left": {}}
    first, second = network[0]
    assert first.weight.abs().tolist() == pytest.approx(torch.tensor([[2.0, 0, 0]]))
    torch.testing.assert_close(second.weight @ first.weight, torch.diag(torch.tensor([4.0, 0, 0])))


def test_examples_choose_another_direction_than_the_weight():
    """The third input is ten times as large: it is what the answers hold, though its weight is least."""
    network = nn.Sequential(linear([[4.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]]))
    Factorise(rank=1, weighted=True).change(network, shown(torch.tensor([[1.0, 1, 10], [1, -1, -10]])))
    inputs = torch.tensor([[1.0, 1.0, 10.0]])
    answer, exact = network(inputs), torch.tensor([[4.0, 2.0, 10.0]])
    assert (answer - exact).norm() < 4.6  # what is lost of (4, 2, 10) is (4, 0, 0) and a little
    assert network[0].weight[2, 2].abs() > 0.9


@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
def test_weighted_is_least_squares_and_no_worse_than_plain(wide: bool):
    """Against whitening by the Cholesky factor, as SVD-LLM writes it."""
    torch.manual_seed(0)
    inputs = torch.randn(200, 12) @ torch.randn(12, 12) * torch.logspace(0, -2, 12)
    layer = nn.Linear(12, 20 if wide else 9)
    expected, weight = layer(inputs), layer.weight.detach().double()
    root = torch.linalg.cholesky(inputs.T.double() @ inputs.double())
    left, values, right = torch.linalg.svd(weight @ root, full_matrices=False)
    by_hand = (left[:, :3] * values[:3]) @ right[:3] @ root.inverse()

    def lost(**settings: Any) -> tuple[float, Tensor]:
        network = nn.Sequential(nn.Linear(12, layer.out_features))
        network[0].load_state_dict(layer.state_dict())
        Factorise(rank=3, **settings).change(network, shown(inputs))
        return float((network(inputs) - expected).square().sum().detach()), network[0].weight.detach()

    (plain, _), (weighted, found) = lost(), lost(weighted=True)
    torch.testing.assert_close(found.double(), by_hand, atol=1e-4, rtol=1e-3)
    assert weighted == pytest.approx(float(values[3:].square().sum()), rel=1e-3)
    assert weighted < plain


CONVOLUTIONS: list[tuple[Callable[[], nn.Module], Tensor]] = [
    (lambda: nn.Conv1d(6, 8, 3, padding=1), torch.randn(5, 6, 9)),
    (lambda: nn.Conv2d(6, 8, 3, stride=2, padding="valid", padding_mode="reflect"), torch.randn(5, 6, 9, 9)),
    (lambda: nn.Conv2d(6, 8, (3, 2), dilation=2, bias=False), torch.randn(5, 6, 9, 9)),
    (lambda: nn.Conv3d(4, 8, 2), torch.randn(3, 4, 4, 4, 4)),
]


@pytest.mark.parametrize(("make", "inputs"), CONVOLUTIONS, ids=["1d", "strided", "dilated", "3d"])
@pytest.mark.parametrize("weighted", [False, True])
def test_convolutions_answer_as_their_projection(make, inputs: Tensor, weighted: bool):
    network = nn.Sequential(make())
    before, weight = network(inputs).detach(), network[0].weight.detach().clone()
    Factorise(rank=4, weighted=weighted).change(network, shown(inputs))
    first, second = network[0]
    assert first.weight.shape == (4, *weight.shape[1:])
    assert second.weight.flatten(1).shape == (8, 4)
    assert network[0].weight.shape == weight.shape
    network[0], layer = make(), network[0]
    with torch.no_grad():
        network[0].weight.copy_(layer.weight)
        if layer.bias is not None:
            network[0].bias.copy_(layer.bias)
    torch.testing.assert_close(network(inputs), layer(inputs), atol=1e-5, rtol=1e-4)
    lost, held = (layer(inputs) - before).square().sum(), before.square().sum()
    assert 0 < lost < 0.6 * held


@pytest.mark.parametrize("weighted", [False, True])
def test_embeddings(weighted: bool):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(40, 12, padding_idx=3))
    rows, words = network[0].weight.detach().clone(), torch.randint(0, 40, (30, 5))
    Factorise(rank=6, weighted=weighted).change(network, shown(words))
    assert [tuple(part.weight.shape) for part in network[0]] == [(40, 6), (12, 6)]
    torch.testing.assert_close(network(words), network[0].weight[words])
    assert not network(torch.tensor([3])).any()
    kept = torch.linalg.svdvals(rows.double())[:6].square().sum() / rows.double().square().sum()
    if not weighted:
        assert (network[0].weight.square().sum() / rows.square().sum()).item() == pytest.approx(float(kept))


def test_a_full_rank_answers_as_before_and_frozen_halves_stay():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(30, 30))
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(30, 5) @ torch.randn(5, 30))
    inputs = torch.randn(4, 30)
    expected = network(inputs)
    assert Factorise(energy=0.999999).change(network).done["ranks"] == {"0": 5}
    torch.testing.assert_close(network(inputs), expected, atol=1e-4, rtol=1e-4)


def test_a_budget_is_kept_and_spent_where_most_is_lost():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 40, bias=False), nn.ReLU(), nn.Linear(40, 40, bias=False))
    with torch.no_grad():  # the first layer needs two directions, the second many
        network[0].weight.copy_(torch.randn(40, 2) @ torch.randn(2, 40) + 0.01 * torch.randn(40, 40))
    ranks = Factorise(parameters=0.5).change(network).done["ranks"]
    count = sum(parameter.numel() for parameter in network.parameters())
    assert 1600 - 80 < count <= 1600
    assert ranks["0"] == 2
    assert ranks["2"] == 18


def test_a_generous_budget_leaves_a_layer_whole_and_says_so():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(40, 40, bias=False), nn.ReLU(), nn.Linear(40, 40, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(40, 2) @ torch.randn(2, 40))
    done = Factorise(parameters=0.8).change(network).done
    assert list(done["ranks"]) == ["0"]
    assert done["left"] == {"2": "the budget leaves it whole"}
    assert isinstance(network[2], nn.Linear)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 2560


def test_a_budget_that_cannot_be_met_says_what_could():
    with pytest.raises(ModelError, match=r"parameters came as 0\.05, .* to 0\.\d+ of its parameters at the"):
        Factorise(parameters=0.05).change(mlp(num_classes=6, in_features=12, widths=[16, 8]))


class Grouped(nn.Module):
    """Layers of which some cannot be changed."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv1d(8, 8, 3, groups=2)
        self.own = nn.Linear(20, 20)
        self.tied = nn.Linear(20, 20)
        self.tied_too = nn.Linear(20, 20)
        self.tied_too.weight = self.tied.weight
        self.view = nn.Linear(20, 20)
        self.view.weight = nn.Parameter(self.own.weight.detach().clone())
        self.thin = nn.Linear(2, 2)
        self.words = nn.Embedding(20, 20, max_norm=1.0)
        self.attention = nn.MultiheadAttention(16, 2)
        self.unused = nn.Linear(20, 20)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.view(self.tied(self.own(inputs)))


def test_layers_that_cannot_be_changed_are_named():
    done = Factorise(rank=3, weighted=True).change(Grouped(), shown(torch.randn(9, 20))).done
    assert done["ranks"] == {"own": 3, "view": 3}
    assert done["left"] == {
        "grouped": "its channels are in groups",
        "tied": "its weights are those of another layer too",
        "tied_too": "its weights are those of another layer too",
        "thin": "no rank would save parameters",
        "words": "its embeddings are renormalised, or its gradients sparse",
        "attention.out_proj": "it is no plain Linear, Conv1d, Conv2d, Conv3d, Embedding, but a "
        "NonDynamicallyQuantizableLinear",
        "unused": "no calibration example reaches it",
    }


def test_a_view_of_another_weight_is_left():
    network = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20), nn.Linear(20, 20))
    network[1].weight = nn.Parameter(network[0].weight.data.T)
    assert list(Factorise(rank=2).change(network).done["ranks"]) == ["2"]


def test_a_weight_that_is_read_is_the_product():
    """Transformers' layers of torch read the weights of theirs when they are evaluated."""
    torch.manual_seed(0)
    network = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
    inputs = torch.randn(2, 5, 16)
    assert set(Factorise(rank=4).change(network).done["ranks"]) == {"linear1", "linear2"}
    assert isinstance(network.linear1, TwoLayers)
    trained = network.train()(inputs)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(inputs), trained, atol=1e-5, rtol=1e-4)


def test_calibration_that_cannot_serve_is_refused():
    network = mlp(num_classes=6, in_features=12, widths=[16, 8])
    change = Factorise(rank=2, weighted=True).change
    with pytest.raises(ModelError, match="factorise with weighted: true looks at examples, and was given no"):
        change(network)
    with pytest.raises(DataError, match="no calibration examples; one batch is the least"):
        change(network, shown(torch.zeros(0, 12)))
    with pytest.raises(ModelError, match=r"and it failed: mat1 and mat2.*Give examples as the network takes"):
        change(nn.Sequential(nn.Linear(12, 12)), shown(torch.randn(4, 13)))
    with pytest.raises(DataError, match=r"hidden\.0\.linear sees or answers what is not finite"):
        change(network, shown(torch.full((4, 12), float("nan"))))
    assert isinstance(network.get_submodule("hidden.0.linear"), nn.Linear)
    assert not network.get_submodule("hidden.0.linear")._forward_hooks


def test_few_examples_are_looked_at():
    asked = []
    calibration = shown(torch.randn(100, 12))
    counted = Calibration(
        calibration.batches, lambda net, b: asked.append(len(b.ids)) or calibration.ask(net, b)
    )
    Factorise(rank=2, weighted=True, examples=20).change(
        mlp(num_classes=6, in_features=12, widths=[16]), counted
    )
    assert asked == [16, 16]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "one of rank, energy and parameters is expected, and none came"),
        ({"rank": 2, "energy": 0.5}, "and rank=2, energy=0.5 came"),
        ({"rank": 0}, "rank came as 0; a whole number of 1 or more"),
        ({"rank": 2.0}, "rank came as 2.0"),
        ({"rank": 2, "examples": 0}, "examples came as 0"),
        ({"energy": 1.0}, "energy came as 1.0; a number above 0 and below 1"),
        ({"parameters": 0}, "parameters came as 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Factorise(**settings)


def test_networks_that_cannot_be_changed_are_refused():
    with pytest.raises(ModelError, match="factorise found no layer to change in ReLU"):
        Factorise(rank=2).change(nn.ReLU())
    with pytest.raises(UnknownName, match=r"unknown layer 'own2'\. Nearest: 'own'"):
        Factorise(rank=2, layers=["own2"]).change(Grouped())
    with pytest.raises(ModelError, match="0: rank 9 would save no parameters"):
        Factorise(rank=9).change(nn.Sequential(nn.Linear(10, 10)))
    network = nn.Sequential(nn.Linear(10, 10))
    nn.init.constant_(network[0].weight, float("inf"))
    with pytest.raises(ModelError, match="the weight of 0 is not finite"):
        Factorise(rank=2).change(network)
