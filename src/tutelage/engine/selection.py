"""Which weights are kept: those of the best validation, or the last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tutelage.engine.average import WeightAverage
from tutelage.engine.best_weights import BestWeights
from tutelage.engine.parallel import Runtime
from tutelage.modes import evaluating

__all__ = ["Selection", "Selections", "Validation"]


def _always() -> bool:
    """What most networks are."""
    return True


@dataclass(frozen=True, slots=True)
class Validation:
    """How the weights to keep are chosen.

    Args:
        measure: -> named numbers on the validation split; it leaves weights as they were. It runs in eval
            mode, and afterwards each layer is put back into the mode it had.
        metric: the name to choose by.
        higher_is_better: the direction of that name.
        student: what to call the one that is measured, where there are several.
        modules: whose weights it chooses, by name; None for all.
        ready: whether the weights of now may be kept at all: not those of a network that still changes.
    """

    measure: Callable[[], Mapping[str, float]]
    metric: str
    higher_is_better: bool = True
    student: str = "student"
    modules: Sequence[str] | None = None
    ready: Callable[[], bool] = _always


class Selection:
    """The choice of weights to keep, made anew at each validation.

    Args:
        modules: whose weights, by name.
        validation: how they are judged.
        average: what is judged and kept in place of the weights themselves, if anything.
        keep: `best`, or `last`.
        file: where the best weights are kept aside; None for memory.
        runtime: the processes; the first one's numbers count.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        validation: Validation | None,
        average: WeightAverage | None,
        *,
        keep: str,
        file: Path | None,
        runtime: Runtime,
    ) -> None:
        self.modules, self.validation, self.average = modules, validation, average
        self.keep, self.runtime = keep, runtime
        self.weights = BestWeights(file)
        self.best: dict[str, float] | None = None

    def look(self, step: int) -> dict[str, float]:
        """Measure the weights of now, keep them aside if they are the best so far; the numbers."""
        assert self.validation is not None
        with self.average.applied() if self.average else nullcontext():
            with evaluating(*self.modules.values()):
                measured = {name: float(value) for name, value in self.validation.measure().items()}
            shared: dict[str, float] = self.runtime.share(measured)
            if self.validation.ready():
                self._weigh(step, shared[self.validation.metric])
        return shared

    def settle(self) -> None:
        """Leave in the modules the weights that were chosen."""
        self.runtime.wait()
        if self.best is not None and self.keep == "best":
            self.weights.restore(self.modules)
        elif self.average is not None:
            self.average.settle()

    def waited(self, looks: Sequence[Mapping[str, float]]) -> int:
        """How many of these validations came after the best of them."""
        assert self.validation is not None
        if not self.validation.ready():
            return 0
        best, since = math.nan, 0
        for look in looks:
            value = look[self.validation.metric]
            since = 0 if self._better(value, best) else since + 1
            best = value if since == 0 else best
        return since

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


class Selections:
    """One choice of weights for each student: those of one need not be those of the step that suits another.

    Args:
        modules: all that is trained, by name; what no validation names goes with the first student.
        validations: how each student is judged; none where the last weights are kept.
        average: what is judged and kept in place of the weights themselves, if anything.
        keep: `best`, or `last`.
        folder: where the best weights are kept aside; None for memory.
        runtime: the processes.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        validations: Sequence[Validation],
        average: WeightAverage | None,
        *,
        keep: str,
        folder: Path | None,
        runtime: Runtime,
    ) -> None:
        named = {name for one in validations[1:] for name in one.modules or ()}
        self.each: dict[str, Selection] = {}
        for number, one in enumerate(validations):
            first = {name: module for name, module in modules.items() if name not in named}
            own = first if number == 0 else {name: modules[name] for name in one.modules or ()}
            file = "best.safetensors" if number == 0 else f"best-{one.student}.safetensors"
            self.each[one.student] = Selection(
                own, one, average, keep=keep, file=folder / file if folder else None, runtime=runtime
            )
        self.average, self.runtime = average, runtime

    @property
    def best(self) -> dict[str, float] | None:
        """The first student's step and value."""
        return next(iter(self.each.values())).best if self.each else None

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """Measure the weights of now, student by student."""
        return {name: selection.look(step) for name, selection in self.each.items()}

    def waited(self, records: Sequence[Mapping[str, Any]]) -> int:
        """How many validations in a row, up to the last, no student has got better in.

        Args:
            records: the history, whose validations are looked through.
        """
        looks = [record for record in records if "validation" in record]
        return min((_waited(name, one, looks) for name, one in self.each.items()), default=0)

    def settle(self) -> None:
        """Leave in the modules the weights that were chosen."""
        for selection in self.each.values():
            selection.settle()
        if not self.each and self.average is not None:
            self.average.settle()

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {name: selection.best for name, selection in self.each.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""
        for name, selection in self.each.items():
            selection.best = state[name]


def _waited(name: str, one: Selection, looks: Sequence[Mapping[str, Any]]) -> int:
    """Validations since the best of those that might be kept."""
    since: int = one.waited([_of(name, held) for held in looks])
    if one.keep == "last" or one.best is None:
        return since
    step = one.best["step"]
    return min(since, len([held for held in looks if held["step"] > step]))


def _of(student: str, record: Mapping[str, Any]) -> Mapping[str, float]:
    """What a history record's validation says of one student."""
    found: Mapping[str, float] = record.get("validations", {}).get(student, record["validation"])
    return found
