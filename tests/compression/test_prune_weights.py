"""Single weights are masked: which ones, for how long, and what is left alone."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression import Calibration, Prune, is_settled, settle
from tutelage.compression.gradual import Gradual
from tutelage.compression.mask import mask_of
from tutelage.errors import ModelError, TutelageWarning, UnknownName
from tutelage.types import Batch, Moment, Outputs, Timed


def two_layers() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -4.0], [2.0, 3.0]]))
        network[2].weight.copy_(torch.tensor([[10.0, 20.0]]))
    return network


def squares(*rows: tuple[float, float], labels: bool = True) -> Calibration:
    """Batches of one row each; the loss is the mean of the answers."""
    batches = [Batch(torch.tensor([row]), torch.tensor([n])) for n, row in enumerate(rows)]

    def ask(network: nn.Module, batch: Batch) -> Outputs:
        return Outputs(network(batch.inputs))

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return network(batch.inputs).mean()

    return Calibration(lambda: iter(batches), ask, loss if labels else None)


def test_the_smallest_weights_of_each_layer_or_of_all_go():
    by_layer, overall = two_layers(), two_layers()
    Prune(share=0.5, structure="weights").change(by_layer)
    assert by_layer[0].weight.tolist() == [[0.0, -4.0], [0.0, 3.0]]
    assert by_layer[2].weight.tolist() == [[0.0, 20.0]]
    done = Prune(share=0.5, structure="weights", scope="global").change(overall).done
    assert overall[0].weight.tolist() == [[0.0, -4.0], [0.0, 0.0]]
    assert overall[2].weight.tolist() == [[10.0, 20.0]]
    assert done["masked"] == ["0", "2"]
    assert done["zeros"] == 0.5


def test_of_each_layer_one_weight_stays():
    network = two_layers()
    Prune(share=0.9, structure="weights", scope="global").change(network)
    assert [int((network[n].weight != 0).sum()) for n in (0, 2)] == [1, 1]


def test_taylor_scores_are_weight_times_gradient_over_batches():
    """Rows (1, 0) and (1, 1): units answer 1 and 2, then -3 and 5; |w · g| by hand.

    Layer 0: row 1 gives [10, 0], [40, 0]; row 2 has the first unit off: [0, 0], [40, 60]: sums
    [[10, 0], [80, 60]]. Layer 2: [10, 40] and [0, 100].
    """
    network = two_layers()
    examples = squares((1.0, 0.0), (1.0, 1.0))
    Prune(share=0.5, structure="weights", by="taylor").change(network, examples)
    assert network[0].weight.tolist() == [[0.0, 0.0], [2.0, 3.0]]
    assert network[2].weight.tolist() == [[0.0, 20.0]]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_taylor_scores_of_units_sum_what_goes_in():
    """The first unit is on for row (1, 0) alone, with 10 · 1; the second gives 20 · 2 and 20 · 5."""
    network = two_layers()
    done = Prune(share=0.5, by="taylor").change(network, squares((1.0, 0.0), (1.0, 1.0))).done
    assert done == {"kept": {"0": [1]}}


def test_two_of_four_stay_along_what_a_unit_reads():
    network = nn.Sequential(nn.Linear(8, 1, bias=False), nn.Conv2d(4, 1, 1, bias=False), nn.Linear(3, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 4.0, 3.0, 2.0, 9.0, -9.0, 0.5, 0.0]]))
        network[1].weight.copy_(torch.tensor([1.0, -5.0, 2.0, 3.0]).view(1, 4, 1, 1))
    with pytest.warns(TutelageWarning, match="2 reads 3 values, which is no multiple of 4"):
        done = Prune(structure="2:4").change(network).done
    assert network[0].weight.tolist() == [[0.0, 4.0, 3.0, 0.0, 9.0, -9.0, 0.0, 0.0]]
    assert network[1].weight.flatten().tolist() == [0.0, -5.0, 0.0, 3.0]
    assert done["left"] == {"2": "reads 3 values, which is no multiple of 4"}


def test_masked_weights_stay_zero_whatever_the_optimiser_does_and_settle_into_plain_ones():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    Prune(share=0.5, structure="weights").change(network)
    zero = network[0].weight == 0
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    assert torch.equal(network[0].weight == 0, zero)
    answer = network(torch.ones(1, 4))
    settle(network)
    assert is_settled(network)
    assert sorted(network.state_dict()) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    torch.testing.assert_close(network(torch.ones(1, 4)), answer, rtol=0, atol=0)


def test_copies_of_a_masked_network_stay_as_they_are():
    network = two_layers()
    Prune(share=0.5, structure="weights").change(network)
    again, settled = copy.deepcopy(network), settle(copy.deepcopy(network))
    Prune(share=0.75, structure="weights").change(again)
    assert network[0].weight.tolist() == settled[0].weight.tolist() == [[0.0, -4.0], [0.0, 3.0]]
    assert again[0].weight.tolist() == [[0.0, -4.0], [0.0, 0.0]]
    assert is_settled(settled)
    assert not is_settled(network)


def test_zeros_of_a_mask_count_when_it_is_masked_again():
    network = two_layers()
    for share in (0.25, 0.75):
        Prune(share=share, structure="weights").change(network)
    assert network[0].weight.tolist() == [[0.0, -4.0], [0.0, 0.0]]
    assert len(network[0].parametrizations.weight) == 1


def test_a_masked_network_is_settled_before_units_are_cut_out():
    network, anew = two_layers(), two_layers()
    done = [Prune(share=0.5, structure="weights").change(network).done, Prune(share=0.5).change(network).done]
    for one in json.loads(json.dumps(done)):
        Prune.__new__(Prune).replay(anew, one)
    anew.load_state_dict(network.state_dict())
    assert network[0].weight.tolist() == anew[0].weight.tolist() == [[0.0, 3.0]]


def test_shared_and_computed_weights_are_left_alone_and_named():
    class Half(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight / 2

    network = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5)))
    network[1].weight = network[0].weight
    network[3].weight = nn.Parameter(
        network[2].weight.detach().view(3, 3)
    )  # another name for the same memory
    parametrize.register_parametrization(network[4], "weight", Half())
    network.append(nn.Linear(3, 3))
    with pytest.warns(TutelageWarning, match="changed all but some"):
        done = Prune(share=0.5, structure="weights").change(network).done
    assert done["masked"] == ["5"]
    assert done["left"]["1"] == "shares its weight with 0"
    assert {"0", "1", "2", "3"} < done["left"].keys()
    assert done["left"]["4"] == "has a weight that is computed from others"
    assert network[1].weight is network[0].weight
    with pytest.raises(ModelError, match=r"no weights to mask.*Left alone: 0 shares"):
        Prune(share=0.5, structure="weights").change(network[:2])


def test_tied_hidden_layers_are_left_alone():
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    network[2].weight = network[0].weight
    with pytest.raises(ModelError, match="0 shares weights with 2"):
        Prune(share=0.5).change(network)


def grows(network: nn.Module, total: int, optimizer: torch.optim.Optimizer | None = None) -> list[int]:
    """How many weights of a layer are masked before each step."""
    timed = [module for module in network.modules() if isinstance(module, Timed)]
    found = []
    for step in range(total):
        for module in timed:
            module.at_moment(Moment(step, total, 10))
        found.append(int((network[0].weight == 0).sum()))
        if optimizer is not None:
            optimizer.zero_grad()
            network(torch.ones(1, 4)).sum().backward()
            optimizer.step()
    return found


def test_a_gradual_share_follows_the_cubic_and_never_falls():
    """0.8 · (1 − (1 − t / 50)³) of 40 weights at t = 0, 10, 20 …: 0, 15.6, 25.1, 30.0, 31.7, 32."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 10))
    done = Prune(share=0.8, structure="weights", gradual={"until": 0.5, "every": 10}).change(network).done
    assert done["zeros"] == 0
    first = grows(network, 100)
    assert first == [0] * 10 + [16] * 10 + [25] * 10 + [30] * 10 + [32] * 60
    assert grows(network, 100) == [32] * 100
    assert grows(copy.deepcopy(network), 3) == [32] * 3


@pytest.mark.parametrize("total", [1, 2, 7])
def test_the_shortest_training_reaches_the_share(total: int):
    network = nn.Sequential(nn.Linear(4, 10))
    Prune(share=0.8, structure="weights", gradual={"until": 1.0, "every": 50}).change(network)
    mask = mask_of(network[0])
    assert mask is not None
    assert not mask.has_arrived
    assert grows(network, total)[-1] == 32
    assert mask.has_arrived


def test_movement_learns_scores_and_lets_weights_come_back():
    """The loss is Σ w: the score of a weight moves by −lr · w, so that large weights lose, small ones win."""
    network = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[4.0, 1.0, -2.0, 3.0]]))
    prune = Prune(share=0.5, structure="weights", by="movement", gradual={"until": 0.5, "every": 2})
    prune.change(network)
    mask = mask_of(network[0])
    assert mask is not None
    optimizer = torch.optim.SGD([{"params": [mask.scores], "lr": 1.0}])
    assert grows(network, 8, optimizer)[-1] == 2
    assert mask.scores.tolist() == [[-32.0, -8.0, 16.0, -24.0]]  # also those that are masked
    assert mask.kept.tolist() == [[False, True, True, False]]


def test_scores_and_masks_are_in_the_state_and_a_replayed_network_goes_on():
    torch.manual_seed(0)
    how = {"share": 0.8, "structure": "weights", "by": "movement", "gradual": {"until": 0.5, "every": 2}}
    network, anew = (nn.Sequential(nn.Linear(4, 10)) for _ in range(2))
    done = json.loads(json.dumps(Prune(**how).change(network).done))
    Prune.__new__(Prune).replay(anew, done)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    grows(network, 5, optimizer)
    anew.load_state_dict(network.state_dict())
    other = torch.optim.SGD(anew.parameters(), lr=0.1)
    assert grows(network, 20, optimizer) == grows(anew, 20, other)
    assert all(
        torch.equal(one, two) for one, two in zip(network.parameters(), anew.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    ("examples", "why"),
    [
        (None, "was given none"),
        (squares(), "no calibration examples"),
        (squares((1.0, 1.0), labels=False), "no labels"),
        (squares((float("nan"), 1.0)), "calibration batch 0 is nan"),
    ],
    ids=["none", "empty", "unlabelled", "nan"],
)
def test_taylor_without_useful_examples_is_refused(examples: Calibration | None, why: str):
    network = two_layers()
    with pytest.raises(ModelError, match=why):
        Prune(share=0.5, structure="weights", by="taylor").change(network, examples)
    assert is_settled(network)
    assert network[0].weight.grad is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"share": 0.5, "structure": 124}, "in quotes"),
        ({"structure": "4:4"}, "N is above 0 and below M"),
        ({"share": 0.5, "structure": "2:4"}, "leave one of them out"),
        ({}, "share came as None"),
        ({"share": 0.5, "by": "movement", "structure": "weights"}, "learns its scores"),
        ({"share": 0.5, "gradual": {}}, "add structure: weights"),
        ({"share": 0.5, "structure": "weights", "by": "taylor", "gradual": {}}, "looks but once"),
        ({"share": 0.5, "structure": "weights", "gradual": {"from": 0.6}}, "above the share"),
        ({"share": 0.5, "structure": "weights", "gradual": {"every": 0}}, "at least one update"),
        ({"share": 0.5, "scope": "global"}, "goes with structure"),
        ({"budget": {"flops": 0.5}}, "goes with structure: channels"),
        ({"structure": "channels", "budget": {"flops": 1.5}}, "above 0 and below 1"),
        ({"share": 0.5, "batches": 0}, "at least 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, object], why: str):
    with pytest.raises(ValueError, match=why):
        Prune(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"share": 0.5, "structure": "wights"},
        {"share": 0.5, "by": "size"},
        {"share": 0.5, "scope": "all"},
        {"structure": "channels", "budget": {"flop": 0.5}},
        {"share": 0.5, "structure": "weights", "gradual": {"to": 1}},
    ],
)
def test_unknown_names_are_refused(settings: dict[str, object]):
    with pytest.raises(UnknownName):
        Prune(**settings)


def test_gradual_reads_what_it_writes():
    assert Gradual.read(Gradual(0.1, 0.5, 20).plain()) == Gradual(0.1, 0.5, 20)
