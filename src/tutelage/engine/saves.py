"""Checkpoints of a training: what they hold, when they are due, how one is taken up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.engine.average import WeightAverage
from tutelage.engine.checkpoint import Checkpoint
from tutelage.engine.division import Division
from tutelage.engine.optimizer_steps import OptimizerSteps
from tutelage.engine.parallel import Runtime
from tutelage.engine.seed import random_state, restore_random_state
from tutelage.engine.selection import Selections
from tutelage.engine.sharding import spread, whole
from tutelage.engine.shares import Shares
from tutelage.engine.tracking import History, history_digest
from tutelage.engine.values import Values
from tutelage.errors import CheckpointError
from tutelage.types import Turn

__all__ = ["Parts", "Saves"]


@dataclass(frozen=True, slots=True)
class Parts:
    """All that changes while training goes on, the count of steps and seconds left out."""

    turns: Sequence[Turn]
    modules: Mapping[str, nn.Module]
    optimizer_steps: OptimizerSteps
    shares: Shares
    average: WeightAverage | None
    values: Values
    selections: Selections
    history: History
    runtime: Runtime
    division: Division
    untouched: dict[int, str] = field(default_factory=dict)
    """Parameters that got no gradient yet: identity -> name."""

    def state(self, step: int, seconds: float) -> dict[str, Any]:
        """What a resumed run needs, alike for any number of processes; every process must call it.

        Raises:
            NonFiniteLoss: a term or a weight is NaN or infinite.
        """
        self.division.bring(self.average)
        pending = self.values.state()
        self.values.check_weights(self.turns, step)
        return {
            "step": step,
            "seconds": seconds,
            "best": self.selections.state(),
            "pending": pending,
            "records": len(self.history.records),
            "history": history_digest(self.history.records),
            "untouched": self.division.everywhere(list(self.untouched.values())),
            "modules": whole({name: module.state_dict() for name, module in self.modules.items()}),
            **{
                kind: self.division.collect(held)
                for kind, held in whole(self.optimizer_steps.state()).items()
            },
            "shares": self._shares(),
            "average": whole(self.average.averages) if self.average else None,
            "random": self.runtime.gather(random_state()),
        }

    def _shares(self) -> dict[str, Any]:
        held = self.shares.state()
        warned = self.division.collect(dict.fromkeys(held["warned"]))
        return {name: self.division.collect(held[name]) for name in ("last", "seen")} | {
            "warned": list(warned)
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        self.selections.restore(state["best"])
        left = {*state.get("untouched", self.untouched.values())}
        for key in [key for key, name in self.untouched.items() if name not in left]:
            del self.untouched[key]
        self.values.restore(state["pending"])
        for name, module in self.modules.items():
            module.load_state_dict(spread(state["modules"][name], module))
        self.optimizer_steps.restore(state)
        self.shares.restore(state["shares"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.history.resume(state["records"], state.get("history"))
        if self.runtime.rank < len(state["random"]):
            restore_random_state(state["random"][self.runtime.rank])


class Saves:
    """The checkpoint of a training.

    Args:
        parts: what it holds.
        folder: where it stands; None for a training that cannot be resumed.
        every: seconds from one to the next.
    """

    def __init__(self, parts: Parts, folder: Path | None, *, every: float) -> None:
        self.parts, self.every = parts, every
        self.file = Checkpoint(folder / "checkpoint.safetensors") if folder else None
        self._written = time.monotonic()

    @property
    def where(self) -> str:
        """The file's path, for messages; empty if there is none."""
        return str(self.file.path) if self.file else ""

    @property
    def due(self) -> bool:
        """Whether it is time for this process to write."""
        return self.file is not None and time.monotonic() - self._written >= self.every

    def write(self, step: int, seconds: float) -> None:
        """Write the state of now; every process must call it."""
        if self.file is None:
            return
        state = self.parts.state(step, seconds)
        if self.parts.runtime.is_main:
            self.file.save(state)
        self._written = time.monotonic()

    def resume(self) -> tuple[int, float]:
        """Take up the checkpoint that is there, if one is; the steps made and the seconds spent.

        Raises:
            CheckpointError: it is damaged, or of another run.
        """
        step, seconds = 0, 0.0
        if self.file is None or not self.parts.runtime.share(self.file.exists()):
            self.parts.history.resume(0)
        else:
            state = self.file.load()
            try:
                step, seconds = state["step"], state["seconds"]
                self.parts.restore(state)
            except CheckpointError:
                raise
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{self.where} was written by a run with another network, other turns or other "
                    f"settings ({error}); choose another folder (out, --out)"
                ) from error
        self._written = time.monotonic()
        return step, seconds
