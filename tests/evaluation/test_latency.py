import math

import pytest
import torch
from torch import nn

import tutelage.evaluation.latency
from tutelage.evaluation import latency
from tutelage.evaluation.cost import latencies
from tutelage.evaluation.latency import compare
from tutelage.threads import threads

ONE = {"slow": 1, "fast": 1}


@pytest.fixture(autouse=True)
def whole_budget(monkeypatch):
    """These are about what is timed."""
    monkeypatch.setattr(latency, "BUDGET", 2.0)


class Clock:
    """Time that passes where a call says so, and a tick whenever it is read."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def perf_counter(self):
        self.now += self.tick
        return self.now

    def call(self, seconds):
        """A call that takes `seconds`, a number or a function of the time."""

        def call():
            self.now += seconds(self.now) if callable(seconds) else seconds

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(1e-8)
    monkeypatch.setattr(tutelage.evaluation.latency, "time", clock)
    return clock


def test_steady_calls_are_stable_and_stop_early(clock):
    found = compare({"slow": clock.call(4e-3), "fast": clock.call(1e-3)}, counts=ONE)
    slow, fast = found.values()
    assert list(found) == ["slow", "fast"]
    assert slow.p50 == pytest.approx(4, rel=1e-3)
    assert fast.p50 == pytest.approx(1, rel=1e-3)
    assert fast.p50 == pytest.approx(fast.p99, rel=1e-3)
    assert fast.ratio == pytest.approx(0.25, rel=1e-3)
    assert fast.interval == pytest.approx((0.25, 0.25), rel=1e-3)
    assert slow.ratio == 1
    assert slow.interval is None
    assert slow.stable
    assert fast.stable
    assert 0.5 < clock.now < 1.5
    assert set(fast.entry()) == {"p50", "p95", "p99", "stable", "threads"}


def test_a_machine_that_slows_down_slows_all(clock):
    """The ratio holds, although no median would."""

    def machine(seconds):
        return clock.call(lambda now: seconds * (1 + 2 * math.sin(now) ** 2))

    found = compare({"slow": machine(3e-3), "fast": machine(1e-3)}, counts=ONE)
    assert found["slow"].p95 > 1.1 * found["slow"].p50
    assert found["fast"].ratio == pytest.approx(1 / 3, rel=0.1)
    assert found["fast"].stable


def test_a_ratio_that_drifts_is_not_stable(clock):
    found = compare(
        {"slow": clock.call(4e-3), "fast": clock.call(lambda now: 1e-3 * (1 + now))}, counts=ONE, budget=2
    )
    assert not found["fast"].stable
    assert not found["slow"].stable
    assert 2 < clock.now < 2.2


def test_the_reference_is_stable_with_one_other(clock):
    drifting = clock.call(lambda now: 1e-3 * (1 + now))
    calls = {"odd": drifting, "slow": clock.call(4e-3), "fast": clock.call(1e-3)}
    found = compare(calls, reference="slow", counts=dict.fromkeys(calls, 1))
    assert {name: held.stable for name, held in found.items()} == {"odd": False, "slow": True, "fast": True}
    assert found["slow"].ratio == 1


def test_a_call_by_itself_is_judged_by_its_median(clock):
    assert compare({"it": clock.call(1e-3)}, counts={"it": 1})["it"].stable
    assert not compare({"it": clock.call(lambda now: 1e-3 * (1 + now))}, counts={"it": 1})["it"].stable


def test_rounds_visit_each_in_an_order_that_moves_on(clock):
    order = []

    def call(name, seconds):
        def called():
            order.append(name)
            clock.now += seconds

        return called

    compare({"a": call("a", 0.1), "b": call("b", 0.1), "c": call("c", 0.1)}, counts={"a": 1, "b": 1, "c": 1})
    rounds = "".join(order[6:])  # after two of each to warm up and to learn how long they take
    assert rounds.startswith("abcbcacababc")


def test_slow_calls_get_four_rounds_within_five_budgets(clock):
    found = compare({"slow": clock.call(1.0), "fast": clock.call(0.5)}, counts=ONE, budget=2)
    assert found["fast"].stable
    assert clock.now < 3 + 4 * 1.5 + 0.1
    clock.now = 0
    found = compare({"slow": clock.call(5.0), "fast": clock.call(4.0)}, counts=ONE, budget=2)
    assert not found["fast"].stable
    assert found["slow"].p50 == pytest.approx(5000)
    assert clock.now < 18 + 2 * 9 + 0.1


def test_short_calls_are_timed_together(clock):
    clock.tick = 1e-6
    found = compare({"slow": clock.call(4e-6), "fast": clock.call(1e-6)}, counts=ONE)
    # one tick in a timing of a hundred, where each call by itself would have shown one more
    assert found["slow"].p50 == pytest.approx(4e-3, rel=0.05)
    assert found["fast"].p50 == pytest.approx(1e-3, rel=0.05)


def test_each_call_has_its_threads(clock):
    seen = {"slow": set(), "fast": set()}

    def call(name):
        def called():
            seen[name].add(torch.get_num_threads())
            clock.now += 1e-3

        return called

    before = torch.get_num_threads()
    found = compare({name: call(name) for name in seen}, counts={"slow": 2, "fast": 1})
    assert seen == {"slow": {2}, "fast": {1}}
    assert found["slow"].threads == 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("calls", "settings"),
    [({}, {}), ({"it": print}, {"reference": "other"}), ({"it": print}, {"budget": -1})],
)
def test_what_cannot_be_compared(calls, settings):
    with pytest.raises(ValueError, match="expected"):
        compare(calls, **settings)


def test_networks_beside_one_another_stay_as_they_were():
    def mlp(width):
        return nn.Sequential(nn.Linear(8, width), nn.Dropout(), nn.Linear(width, 3)).train()

    modes = []
    networks = {"teacher": mlp(2000), "student": mlp(4)}
    networks["student"].register_forward_hook(lambda layer, *_: modes.append(layer.training))
    state = torch.get_rng_state()
    named = {name: (network, torch.zeros(1, 8)) for name, network in networks.items()}
    named["sum"] = (lambda rows: rows.sum(1), torch.zeros(1, 8))
    with threads(2):
        found = latencies(named, "cpu", (1, 256), reference="student", budget=0.4)
        assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), state)
    assert networks["student"].training
    assert networks["student"][1].training
    assert not any(modes)
    assert list(found) == ["teacher", "student", "sum"]
    keys = {"p50", "p95", "p99", "stable", "threads"}
    for name, sizes in found.items():
        assert list(sizes) == ["1", "256"]
        for entry in sizes.values():
            assert set(entry) == keys | (set() if name == "student" else {"against", "ratio", "interval"})
            assert 0 < entry["p50"] <= entry["p95"] <= entry["p99"]
            assert entry["threads"] in (1, 2)
    held = found["teacher"]["256"]
    assert held["against"] == "student"
    assert held["ratio"] == pytest.approx(held["p50"] / found["student"]["256"]["p50"])
    assert held["interval"][0] <= held["ratio"] <= held["interval"][1]
    assert held["ratio"] > 1
