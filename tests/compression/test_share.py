from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression import Share, settle
from tutelage.compression.clusters import clusters
from tutelage.errors import ModelError, UnknownName
from tutelage.tasks.vision.models import resnet8


class Mask(nn.Module):
    """As unstructured pruning leaves it: some weights are 0 while the others learn."""

    def __init__(self, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.kept


def layer_of(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight = nn.Parameter(torch.tensor(rows))
    return layer


def test_a_number_worked_out_by_hand():
    """Begun at -1 and 3: {-1, 0.5} around -0.25 and {2, 3} around 2.5; the zero is no one's."""
    layer = layer_of([[-1.0, 0.5, 0.0], [2.0, 3.0, 0.0]])
    done = Share(bits=1).change(layer).done
    assert layer.weight.tolist() == [[-0.25, -0.25, 0.0], [2.5, 2.5, 0.0]]
    assert done == {"codes": {"": 2}, "left": {}}
    layer(torch.tensor([[1.0, 10.0, 100.0]])).sum().backward()
    assert layer.parametrizations.weight.original.grad.tolist() == [11.0, 11.0]  # of all that share a value


def test_centroids_are_trained_and_zeros_stay():
    torch.manual_seed(0)
    layer, inputs, goal = nn.Linear(20, 30), torch.randn(50, 20), torch.randn(50, 30)
    parametrize.register_parametrization(layer, "weight", Mask(torch.rand(30, 20) > 0.7))
    zero = layer.weight == 0
    Share(bits=3).change(layer)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = (layer(inputs) - goal).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]
    assert torch.equal(layer.weight == 0, zero)
    assert len(settle(layer).weight.unique()) == 2**3 + 1
    assert set(layer.state_dict()) == {"weight", "bias"}
    assert not (layer.weight[zero].signbit()).any()


def test_it_can_be_shared_again_and_set():
    layer = nn.Linear(8, 8)
    Share(bits=4).change(layer)
    before = layer.weight.detach().clone()
    assert Share(bits=6).change(layer).done["codes"] == {"": 16}
    assert torch.equal(layer.weight, before)
    with torch.no_grad():
        layer.weight = layer.weight * 2  # what is set is what a layer's codes can say
    torch.testing.assert_close(layer.weight, 2 * before)


def test_more_than_a_byte_of_codes():
    torch.manual_seed(0)
    layer = nn.Linear(64, 64, bias=False)
    assert Share(bits=9).change(layer).done["codes"] == {"": 512}
    assert layer.parametrizations.weight[0].codes.dtype == torch.int32
    assert len(layer.weight.unique()) == 512


def test_convolutions_and_embeddings_share_and_normalisations_do_not():
    network = resnet8(num_classes=3)
    done = Share(bits=2).change(network).done
    assert all(network.get_submodule(path).weight.unique().numel() <= 4 for path in done["codes"])
    assert not any(isinstance(network.get_submodule(path), nn.BatchNorm2d) for path in done["codes"])
    words = nn.Embedding(20, 4, padding_idx=0)
    Share(bits=2).change(words)
    assert not words(torch.tensor([0])).any()


def test_tied_weights_are_named_and_left():
    network = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 6, bias=False))
    network[2].weight = network[0].weight
    done = Share(bits=2).change(network).done
    assert list(done["codes"]) == ["1"]
    assert done["left"] == dict.fromkeys(("0", "2"), "its weights are those of another layer too")
    assert network[2].weight is network[0].weight


def test_zeros_alone_are_named_and_left():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    nn.init.zeros_(network[0].weight)
    assert Share().change(network).done["left"] == {"0": "all of its weights are 0"}
    with pytest.raises(ModelError, match="share can change no layer of Linear: : all of its weights are 0"):
        Share().change(network[0])


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(ModelError, match=r"no layer to change in ReLU; it knows Linear, Conv1d"):
        Share().change(nn.ReLU())
    with pytest.raises(UnknownName, match=r"unknown layer 'haed'\. Nearest: 'head'"):
        Share(bits={"haed": 3}).change(nn.ModuleDict({"head": nn.Linear(2, 2)}))
    network = nn.Sequential(nn.Linear(2, 2))
    nn.init.constant_(network[0].bias, float("nan"))
    Share().change(network)  # biases are not looked at
    nn.init.constant_(settle(network)[0].weight, float("nan"))
    with pytest.raises(ModelError, match="the weight of 0 is not finite"):
        Share().change(network)


@pytest.mark.parametrize("bits", [0, 13, 2.5, True, "5", {"0": 0}])
def test_bits_out_of_range_are_refused(bits):
    with pytest.raises(ValueError, match="a whole number of 1 to 12"):
        Share(bits=bits)


def test_a_hole_around_zero_costs_no_centroids():
    torch.manual_seed(0)
    values = torch.randn(4000)
    values = values[values.abs() > 1]
    found = clusters(values, 32)
    assert len(found) == 32
    assert (found.diff() > 0).all()
    nearest = (values[:, None] - found).abs().amin(1)
    begin = torch.linspace(float(values.min()), float(values.max()), 32).double()[:, None].numpy()
    theirs = KMeans(32, init=begin, n_init=1).fit(values.double()[:, None].numpy())
    assert nearest.square().sum() < theirs.inertia_


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [1.0, 1.0, 5.0], [0.0, 1e-30, 1e30]])
def test_few_values_are_their_own_centroids(values):
    assert clusters(torch.tensor(values), 4).tolist() == sorted(set(torch.tensor(values).double().tolist()))
