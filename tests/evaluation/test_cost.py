import copy

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.evaluation import cost, cost_of_callable
from tutelage.evaluation.memory import LiveStorages
from tutelage.evaluation.size import file_bytes, flops

KEYS = {
    "parameters",
    "bytes",
    "flops",
    "latency_ms",
    "peak_memory_bytes",
    "energy_joules",
    "train_seconds",
}


def mlp():
    return nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 20), nn.ReLU(), nn.Linear(20, 3))


def measured(network, example, **settings):
    return cost(network, example, device="cpu", **{"budget": 0.02, **settings})


class Tied(nn.Module):
    def __init__(self, *, tied):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 50, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(self.embed(tokens).mean(1))


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, first, second):
        return self.layer(first + second)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


def test_an_mlp_by_hand():
    found = measured(mlp(), torch.zeros(1, 10))
    assert set(found) == KEYS
    assert found["parameters"] == 10 * 40 + 40 + 40 * 20 + 20 + 20 * 3 + 3
    assert found["flops"] == 2 * (10 * 40 + 40 * 20 + 20 * 3)
    # in the ReLU after the first layer, its input and its output are alive together
    assert found["peak_memory_bytes"] == 4 * (found["parameters"] + 32 * 10 + 32 * (40 + 40))
    assert 4 * found["parameters"] < found["bytes"] < 4 * found["parameters"] + 1000
    assert set(found["latency_ms"]) == {"1", "32"}
    for times in found["latency_ms"].values():
        assert set(times) == {"p50", "p95", "p99", "stable", "threads"}
        assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    assert found["energy_joules"] is None or found["energy_joules"] > 0
    assert found["train_seconds"] is None


def test_batch_sizes_name_the_latencies_and_the_greatest_sets_the_memory():
    found = measured(mlp(), torch.zeros(3, 10), batch_sizes=(4, 2))
    assert list(found["latency_ms"]) == ["4", "2"]
    assert found["peak_memory_bytes"] == 4 * (found["parameters"] + 4 * 10 + 4 * 80)


def test_memory_is_the_same_each_time_and_views_are_free():
    network = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 5)), nn.Flatten(), nn.Linear(10, 3))
    first, second = (measured(network, torch.zeros(1, 10))["peak_memory_bytes"] for _ in range(2))
    assert first == second == 4 * (33 + 32 * 10 + 32 * 3)


def test_memory_sees_into_a_transformer_layer():
    small, large = (
        measured(nn.TransformerEncoderLayer(8, 2, width, batch_first=True), torch.zeros(1, 3, 8))
        for width in (100, 200)
    )
    weights = 4 * (large["parameters"] - small["parameters"])
    # the wider hidden layer and its activation
    assert large["peak_memory_bytes"] - small["peak_memory_bytes"] == weights + 2 * 4 * 32 * 3 * 100


def test_live_storages_count_down_when_tensors_go():
    with LiveStorages() as storages:
        one = torch.zeros(100)
        two = one + 1
        assert storages.live == 800
        view = two[:50]
        del one, two
        assert storages.live == 400
        del view
        assert storages.live == 0
    assert storages.peak == 800


def test_shared_tensors_count_once():
    tied, apart = (measured(Tied(tied=tied), torch.zeros(1, 5, dtype=torch.int64)) for tied in (True, False))
    assert tied["parameters"] == 400
    assert apart["parameters"] == 800
    assert 1600 < tied["bytes"] < 1900
    assert 3200 < apart["bytes"] < 3500
    assert apart["peak_memory_bytes"] - tied["peak_memory_bytes"] == 1600


def test_the_file_is_the_one_that_safetensors_writes(tmp_path):
    from safetensors.torch import save_file

    network = mlp()
    save_file(network.state_dict(), tmp_path / "weights")
    assert file_bytes(network) == (tmp_path / "weights").stat().st_size


def test_views_of_one_buffer_are_counted_by_what_they_hold():
    network = nn.Linear(4, 4)
    flat = torch.zeros(20)
    network.weight = nn.Parameter(flat[:16].view(4, 4).t())
    network.bias = nn.Parameter(flat[16:])
    assert file_bytes(network) == file_bytes(nn.Linear(4, 4))


def test_state_that_safetensors_cannot_hold_still_has_a_size():
    class Extra(nn.Linear):
        def get_extra_state(self):
            return {"words": "x" * 1000}

    assert file_bytes(Extra(10, 10)) > 400 + 1000


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Linear(7, 5), (1, 7), 2 * 7 * 5),
        (nn.Conv2d(3, 4, 3), (1, 3, 8, 8), 2 * 3 * 9 * 4 * 36),
        (nn.LSTM(16, 16), (5, 1, 16), 5 * 2 * (16 * 64 + 16 * 64)),
        (
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True),
            (1, 5, 16),
            5 * 2 * (16 * 48 + 16 * 16 + 2 * 16 * 32) + 2 * 2 * 2 * 5 * 5 * 8,
        ),
        (nn.ReLU(), (1, 4), None),
    ],
)
def test_flops_by_hand_also_where_torch_fuses(network, shape, expected):
    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    network.eval()
    assert flops(lambda: network(torch.zeros(shape))) == expected
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert torch.backends.mkldnn.enabled == onednn


def test_tuples_and_mappings_feed_the_network():
    rows = torch.zeros(1, 4)
    by_tuple = measured(Sum(), (rows, rows))
    by_name = measured(Sum(), {"first": rows, "second": rows})
    assert by_tuple["flops"] == by_name["flops"] == 16
    assert by_tuple["peak_memory_bytes"] == by_name["peak_memory_bytes"]


def test_the_network_and_torch_stay_as_they_were():
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(), Noisy()).train()
    network[1].eval()
    before = copy.deepcopy(network.state_dict())
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    measured(network, torch.ones(2, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert network.training
    assert network[2].training
    assert not network[1].training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_callable_has_a_latency_and_the_size_it_is_given():
    asked = []

    def predict(rows):
        asked.append(rows.shape)
        return rows.sum(1)

    found = cost_of_callable(predict, np.zeros((2, 3)), nbytes=17, budget=0.02)
    assert set(found) == KEYS
    assert found["bytes"] == 17
    for key in ("parameters", "flops", "peak_memory_bytes", "train_seconds"):
        assert found[key] is None
    assert set(found["latency_ms"]) == {"1", "32"}
    assert asked[0] == (1, 3)
    assert set(asked) == {(1, 3), (32, 3)}


def test_a_callable_may_read_tensors():
    found = cost_of_callable(lambda rows: rows.numpy().sum(), torch.zeros(1, 3), latency=False)
    assert found["bytes"] is None


def test_latency_may_be_left_to_others():
    found = measured(mlp(), torch.zeros(1, 10), latency=False)
    assert set(found) == KEYS
    assert found["latency_ms"] == {}
    assert found["flops"]
    assert found["peak_memory_bytes"]


@pytest.mark.parametrize("example", [torch.tensor(1.0), torch.zeros(0, 3), np.zeros((0, 2)), ["text"], ()])
def test_an_example_without_rows_is_an_error(example):
    with pytest.raises(ValueError, match="at least one row"):
        cost_of_callable(len, example)


@pytest.mark.parametrize("settings", [{"batch_sizes": ()}, {"batch_sizes": (0,)}, {"budget": -1}])
def test_settings_out_of_range(settings):
    with pytest.raises(ValueError, match="expected"):
        measured(mlp(), torch.zeros(1, 10), **settings)


def test_a_network_elsewhere_is_an_error():
    with pytest.raises(ModelError, match="on meta, to be measured on cpu"):
        measured(nn.Linear(2, 2, device="meta"), torch.zeros(1, 2))
