"""Channels, heads and hidden widths are cut out with all that depends on them; what cannot be is named."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tutelage.capture import capture
from tutelage.compression import Calibration, Prune
from tutelage.errors import MissingExtra, ModelError, TutelageWarning
from tutelage.tasks.vision.models import resnet8, thin_convnet
from tutelage.types import Batch, Outputs

tp = pytest.importorskip("torch_pruning")


def examples(inputs: Tensor, layers: tuple[str, ...] = ()) -> Calibration:
    batch = Batch(inputs, torch.arange(len(inputs)), labels=torch.arange(len(inputs)) % 2)

    def ask(network: nn.Module, batch: Batch) -> Outputs:
        return capture(network, batch.inputs, layers)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(capture(network, batch.inputs).logits, batch.labels)

    return Calibration(lambda: iter([batch, batch]), ask, loss)


class Attention(nn.Module):
    """Several heads, from one layer or three."""

    def __init__(self, *, fused: bool) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.fused = 4, 3, fused
        if fused:
            self.qkv = nn.Linear(12, 36)
        else:
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(12, 12) for _ in range(3))
        self.out = nn.Linear(12, 12)

    def forward(self, rows: Tensor) -> Tensor:
        items, length, _ = rows.shape
        heads = (items, length, self.num_heads, self.head_dim)
        if self.fused:
            asked = self.qkv(rows).reshape(items, length, 3, self.num_heads, self.head_dim)
            query, key, value = asked.permute(2, 0, 3, 1, 4).unbind(0)
        else:
            layers = (self.q_proj, self.k_proj, self.v_proj)
            query, key, value = (layer(rows).view(heads).transpose(1, 2) for layer in layers)
        seen = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        return self.out(seen.reshape(items, length, self.num_heads * self.head_dim))


class Transformer(nn.Module):
    """One block behind a stem with positions of its own."""

    def __init__(self, *, fused: bool = False) -> None:
        super().__init__()
        self.stem, self.norm, self.attention = nn.Linear(5, 12), nn.LayerNorm(12), Attention(fused=fused)
        self.up, self.down, self.head = nn.Linear(12, 16), nn.Linear(16, 12), nn.Linear(12, 2)
        self.positions = nn.Parameter(torch.randn(1, 6, 12))

    def forward(self, rows: Tensor) -> Tensor:
        rows = self.stem(rows) + self.positions
        rows = rows + self.attention(self.norm(rows))
        return self.head((rows + self.down(functional.gelu(self.up(rows)))).mean(1))


class Shuffled(nn.Module):
    """Mixes its channels by views, and cuts them in two in place, which a graph cannot see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3)
        self.third, self.head = nn.Conv2d(8, 6, 1), nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        count, channels, height, width = maps.shape
        maps = maps.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(maps.shape)
        maps = self.second(maps).relu()
        maps[:, :4] += 1
        return self.head(self.third(maps).relu().mean((2, 3)))


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 1, groups=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


IMAGES, ROWS = torch.randn(4, 1, 10, 10), torch.randn(4, 6, 5)
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "convnet": (lambda: thin_convnet(num_classes=2, widths=[6, 8], batch_norm=True), IMAGES),
    "resnet": (lambda: resnet8(num_classes=2, in_channels=1), IMAGES),
    "depthwise": (depthwise, IMAGES),
    "attention": (Transformer, ROWS),
    "fused": (lambda: Transformer(fused=True), ROWS),
}


def built(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return CASES[name][0]()


@pytest.mark.filterwarnings("ignore:prune changed all but some layers")
@pytest.mark.parametrize("name", CASES)
def test_what_was_cut_is_replayed_without_the_library(name: str, monkeypatch: pytest.MonkeyPatch):
    network, inputs = built(name), CASES[name][1]
    before = sum(parameter.numel() for parameter in network.parameters())
    training = [module.training for module in network.modules()]
    done = json.loads(
        json.dumps(Prune(share=0.5, structure="channels").change(network, examples(inputs)).done)
    )
    assert sum(parameter.numel() for parameter in network.parameters()) < 0.7 * before
    assert [module.training for module in network.modules()] == training
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    anew = Prune.__new__(Prune).replay(built(name, seed=1), done)
    anew.load_state_dict(network.state_dict())
    torch.testing.assert_close(anew.eval()(inputs), network.eval()(inputs), rtol=0, atol=0)
    assert str(anew) == str(network)


@pytest.mark.parametrize("name", ["convnet", "resnet", "depthwise"])
def test_shapes_and_answers_are_those_of_the_library_by_hand(name: str):
    network, inputs = built(name).eval(), CASES[name][1]
    by_hand = copy.deepcopy(network)
    pruner = tp.pruner.BasePruner(
        by_hand,
        inputs,
        tp.importance.GroupMagnitudeImportance(),
        pruning_ratio=0.5,
        ignored_layers=[list(by_hand.modules())[-1]],
    )
    pruner.step()
    Prune(share=0.5, structure="channels").change(network, examples(inputs))
    state = network.state_dict()
    assert {key: value.shape for key, value in by_hand.state_dict().items()} == {
        key: value.shape for key, value in state.items()
    }
    torch.testing.assert_close(network(inputs), by_hand(inputs), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:prune changed all but some layers")
@pytest.mark.parametrize("fused", [False, True])
def test_whole_heads_go_and_the_others_answer_as_before(fused: bool):
    name = "fused" if fused else "attention"
    network = built(name).eval()
    silent = copy.deepcopy(network)
    cut = Prune(share=0.5, structure="channels").change(network, examples(ROWS)).done["cut"]
    assert network.attention.num_heads == 2
    assert network.up.out_features == 8
    kept = cut["attention.out"]["tensors"]["weight"][1]
    assert [unit // 3 for unit in kept] == sorted([kept[0] // 3, kept[3] // 3] * 3)
    with torch.no_grad():
        for layer, units in (("attention.out", kept), ("down", cut["down"]["tensors"]["weight"][1])):
            weight = silent.get_submodule(layer).weight
            weight[:, [unit for unit in range(weight.shape[1]) if unit not in units]] = 0
    torch.testing.assert_close(network(ROWS), silent(ROWS), rtol=1e-4, atol=1e-5)


def test_the_channel_with_the_least_weight_goes():
    """The first convolution has Σw² of 1, 4 and 9 and its reader 4, 1 and 9: in the mean 2.5, 2.5 and 9."""
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.Conv2d(3, 1, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1))
        network[1].weight.copy_(torch.tensor([2.1, 1.0, 3.0]).view(1, 3, 1, 1))
    cut = Prune(share=0.3, structure="channels").change(network, examples(IMAGES)).done["cut"]
    assert cut == {
        "0": {"tensors": {"weight": [[0, 2], None, None, None]}, "numbers": {"out_channels": 2}},
        "1": {"tensors": {"weight": [None, [0, 2], None, None]}, "numbers": {"in_channels": 2}},
    }


def test_taylor_looks_at_the_loss_and_leaves_no_gradient():
    network = built("convnet")
    with torch.no_grad():
        network.head.weight[:, :4] = 0  # nothing reads these channels, however large they are
        network.blocks[1].conv.weight[:4] *= 100
    done = Prune(share=0.5, structure="channels", by="taylor").change(network, examples(IMAGES)).done
    assert done["cut"]["head"]["tensors"]["weight"][1] == [4, 5, 6, 7]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_the_task_reads_is_never_pruned():
    network = built("convnet")
    done = Prune(share=0.5, structure="channels").change(network, examples(IMAGES, ("blocks.1",))).done
    assert set(done["cut"]) == {"blocks.0.conv", "blocks.0.norm", "blocks.1.conv"}
    assert done["left"] == {}


def test_what_cannot_be_cut_is_named_and_left_alone():
    torch.manual_seed(0)
    network = Shuffled()
    with pytest.warns(TutelageWarning, match="Left alone"):
        done = Prune(share=0.5, structure="channels").change(network, examples(IMAGES)).done
    assert set(done["left"]) == {"first", "second"}
    assert "cannot be cut" in done["left"]["first"]
    assert set(done["cut"]) == {"third", "head"}


def test_tied_layers_are_named_and_left_alone():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), *(nn.Conv2d(4, 4, 1) for _ in range(2)), nn.Conv2d(4, 6, 1))
    network.extend([nn.Conv2d(6, 1, 1)])
    network[2].weight = network[1].weight
    with pytest.warns(TutelageWarning, match="shares the weights of"):
        done = Prune(share=0.5, structure="channels").change(network, examples(IMAGES)).done
    assert set(done["cut"]) == {"3", "4"}
    assert network[2].weight is network[1].weight


def test_masks_are_settled_before_channels_are_cut_out():
    network = built("convnet")
    for how in ({"structure": "weights"}, {"structure": "channels"}):
        Prune(share=0.5, **how).change(network, examples(IMAGES))
    assert network(IMAGES).shape == (4, 2)
    assert network.blocks[0].conv.out_channels == 3


@pytest.mark.parametrize("what", ["parameters", "flops"])
def test_a_budget_is_met_by_the_smallest_share_of_a_grid(what: str):
    shares = []
    for part in (0.7, 0.3):
        network = built("convnet")
        before = sum(parameter.numel() for parameter in network.parameters())
        prune = Prune(structure="channels", budget={what: part}, scope="global")
        shares.append(prune.change(network, examples(IMAGES)).done["share"])
        if what == "parameters":
            assert sum(parameter.numel() for parameter in network.parameters()) <= part * before
    assert 0 < shares[0] < shares[1] < 1


def test_a_budget_that_cannot_be_met_says_what_can_be_reached_and_changes_nothing():
    network = built("convnet")
    state = copy.deepcopy(network.state_dict())
    with pytest.raises(
        ModelError, match=r"cannot bring the parameters down to 0.01.*Give a budget of 0\.\d+"
    ):
        Prune(structure="channels", budget={"parameters": 0.01}).change(network, examples(IMAGES))
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_latency_is_measured_by_who_can():
    network, seen = built("convnet"), []

    def ratio(before: nn.Module, after: nn.Module) -> float:
        seen.append(after.blocks[1].conv.out_channels)
        return seen[-1] / before.blocks[1].conv.out_channels

    shown = examples(IMAGES)
    prune = Prune(structure="channels", budget={"latency": 0.5})
    with pytest.raises(ModelError, match="something that measures it"):
        prune.change(network, shown)
    prune.change(network, Calibration(shown.batches, shown.ask, shown.loss, ratio))
    assert network.blocks[1].conv.out_channels == 4
    assert len(seen) < 10


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingExtra, match=r"tutelage\[compress\]"):
        Prune(share=0.5, structure="channels").change(built("convnet"), examples(IMAGES))


def test_without_examples_or_for_another_network_it_is_refused():
    prune = Prune(share=0.5, structure="channels")
    with pytest.raises(ModelError, match="was given none"):
        prune.change(built("convnet"))
    with pytest.raises(ModelError, match="no calibration examples"):
        prune.change(built("convnet"), Calibration(lambda: iter([]), examples(IMAGES).ask))
    done = prune.change(built("convnet"), examples(IMAGES)).done
    other = thin_convnet(num_classes=2, widths=[2, 2], batch_norm=True)
    with pytest.raises(ModelError, match="not the one that was pruned"):
        prune.replay(other, done)


def test_a_network_that_cannot_be_traced_is_refused():
    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(10, 2)

        @torch.no_grad()
        def forward(self, rows: Tensor) -> Tensor:
            return self.layer(rows.mean((1, 2)))

    with pytest.raises(ModelError, match=r"cannot trace|no channels"):
        Prune(share=0.5, structure="channels").change(Opaque(), examples(IMAGES))
