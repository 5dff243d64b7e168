import pytest
import torch

import tutelage.threads
from tutelage.threads import fastest_threads, threads


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1e-9
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(tutelage.threads, "time", clock)
    return clock


def taking(clock, seconds):
    """A call that takes so many seconds by the number of threads, and the threads of each call."""
    asked = []

    def call():
        asked.append(torch.get_num_threads())
        clock.now += seconds[asked[-1]]

    return call, asked


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (5e-5, 24e-3, 1),  # a small network whose threads wait for one another
        (1e-3, 0.6e-3, 2),
        (0.95e-3, 1e-3, 2),  # a tie
        (0.85e-3, 1e-3, 1),
        (2.0, 1.0, 2),
    ],
)
def test_the_faster_number_wins_and_ties_keep_the_setting(clock, one, two, expected):
    call, asked = taking(clock, {1: one, 2: two})
    with threads(2):
        assert fastest_threads(call) == expected
        assert torch.get_num_threads() == 2
    assert {1, 2} == set(asked)


def test_slow_calls_are_few(clock):
    call, asked = taking(clock, {1: 1.0, 2: 1.5})
    assert fastest_threads(call, most=2) == 1
    assert sorted(asked) == [1, 1, 2, 2]


def test_one_stall_decides_nothing(clock):
    call, asked = taking(clock, {1: 1e-3, 2: 2e-3})

    def stalling():
        clock.now += 0.05 if len(asked) == 6 else 0
        call()

    assert fastest_threads(stalling, most=2) == 1


def test_nothing_is_measured_where_nothing_can_be_chosen(monkeypatch):
    def never():
        raise AssertionError("called")

    with threads(1):
        assert fastest_threads(never) == 1
    assert fastest_threads(never, most=3, device="cuda") == 3
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert fastest_threads(never, most=3) == 3


def test_the_setting_comes_back_after_an_error():
    before = torch.get_num_threads()

    def broken():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fastest_threads(broken, most=before + 1)
    with pytest.raises(RuntimeError, match="broken"), threads(before + 1):
        broken()
    assert torch.get_num_threads() == before


def test_numbers_below_one_are_errors():
    with pytest.raises(ValueError, match="at least one thread was expected; got most=0"):
        fastest_threads(lambda: None, most=0)
    with pytest.raises(ValueError, match="got 0"), threads(0):
        pass


def test_a_block_has_its_threads():
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_real_call():
    layer = torch.nn.Linear(8, 8)
    assert fastest_threads(lambda: layer(torch.zeros(1, 8)), most=2) in (1, 2)
