"""The values of terms between two lines of history, kept on the device and read back together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.engine.parallel import Runtime
from tutelage.engine.sharding import own
from tutelage.errors import ModelError, NonFiniteLoss
from tutelage.types import Turn

__all__ = ["Values"]


class Values:
    """What each term was on each step since it was last asked.

    On an accelerator nothing is read back until then, so that the processor runs ahead; on the CPU, where a
    number is there at once, it is checked at once.

    Args:
        runtime: where the values lie.
        kept: -> where the last good state is, for messages; empty if there is none.
    """

    def __init__(self, runtime: Runtime, kept: Callable[[], str]) -> None:
        self.runtime, self.kept = runtime, kept
        self.steps: list[tuple[int, Mapping[str, Tensor | float]]] = []

    def add(self, step: int, values: Mapping[str, Tensor | float]) -> None:
        """Note a step's values."""
        self.steps.append((step, values))

    def check(self, step: int, turn: Turn, terms: Mapping[str, Tensor]) -> None:
        """Refuse terms that train nothing, and one that is not finite where that can be seen without waiting.

        Raises:
            ModelError: there are no terms, or none of them depends on what is trained.
            NonFiniteLoss: a term is NaN or infinite.
        """
        _check_trains(turn, terms)
        if self.runtime.device.type == "cpu":
            for name, term in terms.items():
                self._check(step, f"{turn.name}/{name}", float(term.detach()))

    def means(self) -> dict[str, float]:
        """The mean of each term over the steps, summed over processes; the steps are forgotten.

        Raises:
            NonFiniteLoss: a value is NaN or infinite.
        """
        sums: dict[str, float] = {}
        for values in self._read():
            for name, number in values[1].items():
                sums[name] = sums.get(name, 0.0) + number
        names = sorted(sums)
        held = torch.tensor([sums[name] for name in names], dtype=torch.float64, device=self.runtime.device)
        self.runtime.sum_([held])
        means = {name: value / len(self.steps) for name, value in zip(names, held.tolist(), strict=True)}
        self.steps.clear()
        return means

    def state(self) -> list[tuple[int, dict[str, float]]]:
        """The steps that no line of history holds yet, as plain numbers."""
        return self._read()

    def restore(self, state: Sequence[Any]) -> None:
        """Take up the steps of a checkpoint."""
        self.steps = [(step, dict(values)) for step, values in state]

    def check_weights(self, turns: Sequence[Turn], step: int) -> None:
        """Refuse to store what a finite loss with an infinite gradient has left behind, on any process."""
        for turn in turns:
            if self.runtime.any(not all(bool(own(p).isfinite().all()) for p in turn.parameters)):
                raise self._error(f"weights of turn {turn.name!r} are NaN or infinite after step {step}")

    def _read(self) -> list[tuple[int, dict[str, float]]]:
        read = [(step, {name: float(value) for name, value in held.items()}) for step, held in self.steps]
        for step, values in read:
            for name, value in values.items():
                self._check(step, name, value)
        return read

    def _check(self, step: int, name: str, value: float) -> None:
        if not math.isfinite(value):
            turn, _, term = name.partition("/")
            raise self._error(f"the loss became {value} at step {step}, in turn {turn!r}, term {term!r}")

    def _error(self, what: str) -> NonFiniteLoss:
        kept = f" The last good checkpoint is {where}." if (where := self.kept()) else ""
        advice = "Lower the learning rate, clip gradients (clip: 1.0), or train in float32."
        return NonFiniteLoss(f"{what}. {advice}{kept}")


def _check_trains(turn: Turn, terms: Mapping[str, Tensor]) -> None:
    if not terms:
        raise ModelError(f"turn {turn.name!r} gave no terms to minimise; give it at least one match")
    if not any(term.requires_grad for term in terms.values()):
        raise ModelError(
            f"no term of turn {turn.name!r} ({', '.join(terms)}) depends on what it trains; compute "
            "them from the student's tensors, not detached, and leave its parameters their gradient"
        )
