"""What processes divide among themselves: the examples of a batch, or the turns of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tutelage.engine.average import WeightAverage
from tutelage.engine.parallel import Runtime
from tutelage.engine.sharding import is_sharded
from tutelage.types import Turn, map_tensors

__all__ = ["Division"]


class Division:
    """Who makes which turn, on which part of a batch.

    Mostly every process makes each turn with its part of the batch, and gradients are summed. Where each turn
    says how seldom others look at what it moves (`Turn.exchange`), every process makes turns of its own on
    the whole batch, and nothing is exchanged between two looks. That is done where no process would be idle,
    and no network is spread over processes.

    Args:
        turns: of one training, in order.
        runtime: the processes.
    """

    def __init__(self, turns: Sequence[Turn], runtime: Runtime) -> None:
        self.turns, self.runtime = list(turns), runtime
        self.by_turn = (
            1 < runtime.world <= len(turns)
            and all(turn.exchange is not None for turn in turns)
            and not any(is_sharded(turn.parameters) for turn in turns)
        )
        self.within = runtime.apart() if self.by_turn else runtime
        """The processes that share a batch; this one alone where turns are divided."""

    @property
    def own(self) -> list[Turn]:
        """The turns that this process makes."""
        return [turn for turn in self.turns if not self.by_turn or self._owner(turn) == self.runtime.rank]

    def exchange(self, step: int) -> None:
        """Give every process what others look at after this step."""
        due = [turn for turn in self.turns if turn.exchange is not None and turn.exchange.due(step)]
        self._bring(due)

    def bring(self, average: WeightAverage | None) -> None:
        """Give every process all that its owners moved; the averages of it too."""
        self._bring(self.turns, average)

    def collect(self, by_turn: Mapping[str, Any]) -> dict[str, Any]:
        """What stands under a turn's name, or a name that begins with it and a stroke, on its process."""
        if not self.by_turn:
            return dict(by_turn)
        names = {turn.name for turn in self.own}
        kept = {name: value for name, value in by_turn.items() if name.partition("/")[0] in names}
        every = self.runtime.gather(map_tensors(kept, Tensor.cpu))
        return {name: value for held in every for name, value in held.items()}

    def everywhere(self, names: Sequence[str]) -> list[str]:
        """Those of some names that each process has, where each looks at its own turns."""
        if not self.by_turn:
            return list(names)
        held = self.runtime.gather(list(names))
        return [name for name in names if all(name in other for other in held)]

    def _bring(self, turns: Sequence[Turn], average: WeightAverage | None = None) -> None:
        if not self.by_turn:
            return
        for turn in turns:
            assert turn.exchange is not None
            moved, source = turn.exchange.modules, self._owner(turn)
            self.runtime.same_everywhere_(moved, source=source)
            if average is not None:
                self.runtime.same_tensors_(average.of(moved), source=source)

    def _owner(self, turn: Turn) -> int:
        return [one.name for one in self.turns].index(turn.name) % self.runtime.world
