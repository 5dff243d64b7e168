"""Which weights are kept: those of the best validation, or the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from tutelage.engine.average import WeightAverage
from tutelage.engine.kept import KeptWeights
from tutelage.engine.parallel import Runtime
from tutelage.modes import evaluating

__all__ = ["Choice", "Validation"]


@dataclass(frozen=True, slots=True)
class Validation:
    """How the weights to keep are chosen.

    Args:
        measure: -> named numbers on the validation split; it leaves weights as they were. It runs in eval
            mode, and afterwards each layer is put back into the mode it had.
        metric: the name to choose by.
        higher_is_better: the direction of that name.
    """

    measure: Callable[[], Mapping[str, float]]
    metric: str
    higher_is_better: bool = True


class Choice:
    """The choice of weights to keep, made anew at each validation.

    Args:
        modules: whose weights, by name.
        validation: how they are judged.
        average: what is judged and kept in place of the weights themselves, if anything.
        keep: `best`, or `last`.
        folder: where the best weights are kept aside; None for memory.
        runtime: the processes; the first one's numbers count.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        validation: Validation | None,
        average: WeightAverage | None,
        *,
        keep: str,
        folder: Path | None,
        runtime: Runtime,
    ) -> None:
        self.modules, self.validation, self.average = modules, validation, average
        self.keep, self.runtime = keep, runtime
        self.weights = KeptWeights(folder / "best.safetensors" if folder else None)
        self.best: dict[str, float] | None = None

    def look(self, step: int) -> dict[str, float]:
        """Measure the weights of now, keep them aside if they are the best so far; the numbers."""
        assert self.validation is not None
        with self.average.applied() if self.average else nullcontext():
            with evaluating(*self.modules.values()):
                measured = {name: float(value) for name, value in self.validation.measure().items()}
            shared: dict[str, float] = self.runtime.share(measured)
            self._weigh(step, shared[self.validation.metric])
        return shared

    def settle(self) -> None:
        """Leave in the modules the weights that were chosen."""
        self.runtime.wait()
        if self.best is not None and self.keep == "best":
            self.weights.restore(self.modules)
        elif self.average is not None:
            self.average.settle()

    def _weigh(self, step: int, value: float) -> None:
        if self.keep == "best" and self.best is not None and not self._better(value, self.best["value"]):
            return
        self.best = {"step": step, "value": value}
        if self.keep == "best":
            self.weights.save(self.modules, writes=self.runtime.is_main)

    def _better(self, value: float, than: float) -> bool:
        assert self.validation is not None
        if math.isnan(than):
            return not math.isnan(value)
        return value > than if self.validation.higher_is_better else value < than
