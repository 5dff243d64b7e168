"""What processes divide: batches, or turns whose work others look at seldom."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tutelage.engine import Division, Runtime
from tutelage.engine.average import WeightAverage
from tutelage.types import Exchange, Turn


class Two(Runtime):
    """The second of some processes, which notes what it would give to the others."""

    def __init__(self, world: int = 2, rank: int = 1, others: Any = None) -> None:
        super().__init__(cpu=True, quiet=True)
        self._of, self.given, self.others = (rank, world), [], others

    @property
    def rank(self) -> int:
        return self._of[0] if self._shares else 0

    @property
    def world(self) -> int:
        return self._of[1] if self._shares else 1

    def same_tensors_(self, tensors: Any, *, source: int = 0) -> None:
        self.given.append((source, len(list(tensors))))

    def gather(self, value: Any) -> list[Any]:
        return [self.others, value]


def turn(name: str, every: int | None = 5, *, apart: bool = True) -> Turn:
    net = nn.Linear(2, 1)
    exchange = Exchange([net], every) if apart else None
    return Turn(name, list(net.parameters()), lambda batch: {"t": net(batch.inputs).sum()}, exchange=exchange)


def test_each_process_makes_turns_of_its_own_on_whole_batches():
    turns = [turn("student"), turn("peer"), turn("other")]
    first, second = (Division(turns, Two(rank=rank)) for rank in (0, 1))
    assert [one.name for one in first.own] == ["student", "other"]
    assert [one.name for one in second.own] == ["peer"]
    assert (second.within.rank, second.within.world, second.within.total(3)) == (0, 1, 3)
    assert second.runtime.world == 2


@pytest.mark.parametrize(
    ("turns", "world"),
    [
        ([turn("student"), turn("critic", apart=False)], 2),  # the critic's work is seen at once
        ([turn("student"), turn("peer")], 3),  # one process would be idle
        ([turn("student"), turn("peer")], 1),
        ([], 2),
    ],
)
def test_else_batches_are_divided_and_all_make_all_turns(turns: list[Turn], world: int):
    division = Division(turns, Two(world, rank=0))
    assert not division.by_turn
    assert division.own == turns
    assert division.within is division.runtime
    division.exchange(5)
    division.bring(None)
    assert division.runtime.given == []
    assert division.collect({"student/t": 1}) == {"student/t": 1}
    assert division.everywhere(["a"]) == ["a"]


def test_others_look_when_it_is_time():
    division = Division([turn("student", 5), turn("peer", 3), turn("other", None)], Two())
    for step in (1, 3, 5, 15):
        division.runtime.given.clear()
        division.exchange(step)
        due = [source for source, every in ((0, 5), (1, 3)) if step % every == 0]
        assert division.runtime.given == [(source, 2) for source in due]


def test_everything_is_brought_with_its_averages():
    turns = [turn("student"), turn("peer")]
    modules = {one.name: one.exchange.modules[0] for one in turns}
    division = Division(turns, Two())
    division.bring(WeightAverage(modules | {"copy": nn.Linear(2, 2)}, decay=0.5))
    assert division.runtime.given == [(0, 2), (0, 2), (1, 2), (1, 2)]


def test_the_averages_of_some_modules_are_those_that_the_average_moves():
    one, other = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    average = WeightAverage({"one": one, "other": other}, decay=0.5)
    (held,) = average.of([other])
    assert held is average.averages[1]


def test_numbers_by_turn_come_from_the_process_that_makes_it():
    division = Division([turn("student"), turn("peer")], Two(others={"student/t": 1.0}))
    assert division.collect({"student/t": 7.0, "peer/t": 2.0}) == {"student/t": 1.0, "peer/t": 2.0}
    named = Division([turn("student"), turn("peer")], Two(others={"student": torch.ones(1)}))
    assert named.collect({"student": 0, "peer": torch.zeros(1)}) == {
        "student": torch.ones(1),
        "peer": torch.zeros(1),
    }


def test_what_nobody_touched_is_what_no_process_did():
    division = Division([turn("student"), turn("peer")], Two(others=["student.a", "peer.a", "peer.b"]))
    assert division.everywhere(["student.a", "student.b", "peer.b"]) == ["student.a", "peer.b"]
