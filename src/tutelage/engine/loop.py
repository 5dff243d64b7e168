"""The one loop: for each turn, its terms, their sum, backward, a step.

Every class of knowledge and every scheme comes here as turns. What the loop adds is what any training
needs: one denominator over micro-batches and processes, checkpoints, validation, a polite stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.engine.average import WeightAverage
from tutelage.engine.checkpoint import Checkpoint
from tutelage.engine.kept import KeptWeights
from tutelage.engine.movers import Movers
from tutelage.engine.parallel import Runtime
from tutelage.engine.seed import random_state, restore_random_state
from tutelage.engine.settings import OptimizerSettings, TrainSettings
from tutelage.engine.sharding import is_sharded, like, spread, whole
from tutelage.engine.shares import Apart, Shares
from tutelage.engine.tracking import History, Progress
from tutelage.engine.values import Values
from tutelage.errors import (
    CheckpointError,
    Interrupted,
    ModelError,
)
from tutelage.modes import evaluating
from tutelage.types import Batch, Batches, Moment, Turn

__all__ = ["Fitted", "Validation", "fit"]


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


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training did.

    Args:
        steps: updates made.
        seconds: time spent in training, validation and checkpoints left out, interrupted parts included.
        best: the step and the validation metric of the weights kept, or None without validation.
        history: the records, in order.
    """

    steps: int
    seconds: float
    best: dict[str, float] | None
    history: list[dict[str, Any]]


def fit(
    turns: Sequence[Turn],
    modules: Mapping[str, nn.Module],
    batches: Batches,
    settings: TrainSettings,
    *,
    optimizers: Mapping[str, OptimizerSettings],
    runtime: Runtime,
    validation: Validation | None = None,
    folder: Path | None = None,
    label: str = "train",
) -> Fitted:
    """Train `modules` by `turns`, and leave the weights to keep in them.

    Args:
        turns: one optimiser's move each, made in order on each batch.
        modules: what is trained and stored, by name. One that comes in eval mode is put into training mode;
            in one that comes in training mode each layer keeps its own, so that a frozen batch norm stays.
        batches: the examples, in their fixed order.
        settings: lengths and choices.
        optimizers: settings by the turn's name.
        runtime: devices and processes.
        validation: how the weights to keep are chosen; without it the last ones are kept.
        folder: where the checkpoint and the history live. A checkpoint found there is taken up.
        label: what to call it in progress and trackers.

    Raises:
        NonFiniteLoss: a term or a weight became NaN or infinite; names step, turn and term.
        CheckpointError: the checkpoint in `folder` is damaged, or of another run.
        Interrupted: a stop was asked for, and a checkpoint was written.
    """
    loop = _Loop(turns, modules, batches, settings, optimizers, runtime)
    loop.attach(validation, folder, label)
    return loop.run()


class _Loop:
    def __init__(
        self,
        turns: Sequence[Turn],
        modules: Mapping[str, nn.Module],
        batches: Batches,
        settings: TrainSettings,
        optimizers: Mapping[str, OptimizerSettings],
        runtime: Runtime,
    ) -> None:
        self.turns, self.modules, self.batches = turns, modules, batches
        self.settings, self.runtime = settings, runtime
        self.total_steps = settings.total_steps(len(batches))
        self.movers = Movers(turns, optimizers, total_steps=self.total_steps, clip=settings.clip)
        self.shares = Shares(turns)
        runtime.same_everywhere_(modules.values())
        self.average = WeightAverage(modules, decay=settings.average) if settings.average else None
        self.step, self.seconds = 0, 0.0
        self.best: dict[str, float] | None = None
        self.values = Values(runtime, lambda: str(self.checkpoint.path) if self.checkpoint else "")
        self.checkpoint: Checkpoint | None = None

    def attach(self, validation: Validation | None, folder: Path | None, label: str) -> None:
        """Say how to validate, where to write and what to be called."""
        self.validation, self.label = validation, label
        self.checkpoint = Checkpoint(folder / "checkpoint.safetensors") if folder else None
        self.best_weights = KeptWeights(folder / "best.safetensors" if folder else None)
        self.history = History(folder / "history.jsonl" if folder else None, writes=self.runtime.is_main)

    # -- the ladder: run, epoch, step, turn ---------------------------------------------------------

    def run(self) -> Fitted:
        for module in self.modules.values():
            if not module.training:
                module.train()
        self._resume()
        with Progress(self.label, self.total_steps, quiet=self.runtime.quiet) as self.progress:
            self.progress.start_at(self.step)
            self._saved = time.monotonic()
            while self.step < self.total_steps:
                self._epoch()
            self._log()
        self._keep()
        return Fitted(self.step, self.seconds, self.best, self.history.records)

    def _epoch(self) -> None:
        length = len(self.batches)
        epoch, start = divmod(self.step, length)
        clock = time.perf_counter()
        for micros in self.batches.epoch(epoch, start):
            parts = self._parts(micros)  # counted where the batches are, before they move
            self._step([self._moved(batch) for batch in micros], parts)
            self.seconds += time.perf_counter() - clock
            if self.step == self.total_steps or self.step % length == 0:
                break
            self._pause()
            clock = time.perf_counter()
        if self._validates(epoch + 1):
            self._validate(epoch + 1)
        self._pause()

    def _moved(self, batch: Batch) -> Batch:
        format_ = torch.channels_last if self.settings.channels_last else None
        return batch.to(self.runtime.device, memory_format=format_)

    def _step(self, micros: Sequence[Batch], parts: Sequence[float]) -> None:
        values: dict[str, Tensor | float] = {}
        for turn in self.turns:
            turn.before(self._moment(self.step))
        self.step += 1
        for turn in self.turns:
            for _ in range(turn.repeat):
                values |= self._turn(turn, micros, parts)
        for turn in self.turns:
            turn.after(self._moment(self.step))
        if self.average is not None:
            self.average.update()
        self.values.add(self.step, values)
        if self.step % self.settings.log_every == 0:
            self._log()

    def _turn(self, turn: Turn, micros: Sequence[Batch], parts: Sequence[float]) -> dict[str, Tensor | float]:
        self.movers.clear(turn)
        measures = self.shares.due(turn, self.step) and not is_sharded(turn.parameters)
        apart = Apart(turn.parameters) if measures else None
        values: dict[str, Tensor | float] = {}
        for batch, part in zip(micros, parts, strict=True):
            with self.runtime.autocast(self.settings.precision):
                terms = turn.terms(batch)
            self._check(turn, terms)
            if apart is not None and len(terms) > 1:
                apart.backward(terms, part)
            else:
                torch.autograd.backward(sum(terms.values(), start=torch.zeros(())) * part)
            for name, term in terms.items():
                key = f"{turn.name}/{name}"
                values[key] = values.get(key, 0.0) + term.detach() * part
        if apart is not None and apart.parts:
            apart.add(self.shares.note(turn, apart.norms(self.runtime)))
        self.runtime.sum_gradients_(turn.parameters)
        self.movers.move(turn)
        return values

    def _moment(self, step: int) -> Moment:
        return Moment(step, self.total_steps, len(self.batches))

    def _parts(self, micros: Sequence[Batch]) -> list[float]:
        """Each micro-batch's part of the one denominator: the items of the whole global batch."""
        counts = [batch.count for batch in micros]
        whole = max(1, self.runtime.total(sum(counts)))
        return [count / whole for count in counts]

    # -- what is said and checked -------------------------------------------------------------------

    def _check(self, turn: Turn, terms: Mapping[str, Tensor]) -> None:
        if not terms:
            raise ModelError(f"turn {turn.name!r} gave no terms to minimise; give it at least one match")
        if not any(term.requires_grad for term in terms.values()):
            raise ModelError(
                f"no term of turn {turn.name!r} ({', '.join(terms)}) depends on what it trains; compute "
                "them from the student's tensors, not detached, and leave its parameters their gradient"
            )
        self.values.check(self.step, turn.name, terms)

    def _log(self) -> None:
        """Read the values since the last line back to the host, all at once, and write their means."""
        if not self.values.steps:
            return
        terms = self.values.means()
        record = {
            "step": self.step,
            "epoch": self.step / len(self.batches),
            "loss": sum(terms.values()),
            "terms": terms,
            "lr": self.movers.learning_rates(),
            "weights": {f"{t.name}/{name}": held for t in self.turns for name, held in t.weights().items()},
            "shares": dict(self.shares.last),
        }
        self._record(record)
        best = {"best": self.best["value"]} if self.best else {}
        self.progress.show(self.step, {"loss": sum(terms.values())} | best)

    def _record(self, record: dict[str, Any]) -> None:
        self.history.add(record)
        self.runtime.track(record, self.label)

    # -- validation ---------------------------------------------------------------------------------

    def _validates(self, epoch: int) -> bool:
        due = epoch % self.settings.validate_every == 0 or self.step == self.total_steps
        whole = self.step % len(self.batches) == 0 or self.step == self.total_steps
        return self.validation is not None and due and whole

    def _validate(self, epoch: int) -> None:
        assert self.validation is not None
        self._log()
        with self.average.applied() if self.average else nullcontext():
            with evaluating(*self.modules.values()):
                measured = {name: float(value) for name, value in self.validation.measure().items()}
            measured = self.runtime.share(measured)
            value = measured[self.validation.metric]
            self._record({"step": self.step, "epoch": epoch, "validation": measured})
            last = self.settings.keep == "last"
            if last or self.best is None or self._better(value, self.best["value"]):
                self.best = {"step": self.step, "value": value}
                if not last:
                    self.best_weights.save(self.modules, writes=self.runtime.is_main)

    def _better(self, value: float, than: float) -> bool:
        assert self.validation is not None
        if math.isnan(than):
            return not math.isnan(value)
        return value > than if self.validation.higher_is_better else value < than

    def _keep(self) -> None:
        """Leave in the modules the weights that were chosen."""
        self.runtime.wait()
        if self.best is not None and self.settings.keep == "best":
            self.best_weights.restore(self.modules)
        elif self.average is not None:
            self.average.settle()

    # -- checkpoints --------------------------------------------------------------------------------

    def _pause(self) -> None:
        """Between steps: write a checkpoint when it is time, stop when asked."""
        if self.runtime.world > 1 and self.step % self.settings.log_every and self.step < self.total_steps:
            return
        due = self.checkpoint is not None and time.monotonic() - self._saved >= self.settings.checkpoint_every
        stop = self.runtime.any(self.runtime.stop_asked)
        if stop or self.runtime.any(due):
            self._save()
        if stop:
            where = f"; a checkpoint is at {self.checkpoint.path}" if self.checkpoint else ""
            raise Interrupted(f"stopped on request at step {self.step} of {self.total_steps}{where}")

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        pending = self.values.state()
        self.values.check_weights(self.turns, self.step)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "pending": pending,
            "records": len(self.history.records),
            "modules": whole({name: module.state_dict() for name, module in self.modules.items()}),
            **whole(self.movers.state()),
            "shares": self.shares.state(),
            "average": whole(self.average.averages) if self.average else None,
            "random": self.runtime.gather(random_state()),
        }
        if self.runtime.is_main:
            self.checkpoint.save(state)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        if self.checkpoint is None or not self.runtime.share(self.checkpoint.exists()):
            self.history.resume(0)
            return
        state = self.checkpoint.load()
        try:
            self._take_up(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.checkpoint.path} was written by a run with another network, other turns or other "
                f"settings ({error}); choose another folder (out, --out)"
            ) from error

    def _take_up(self, state: Mapping[str, Any]) -> None:
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.values.restore(state["pending"])
        for name, module in self.modules.items():
            module.load_state_dict(spread(state["modules"][name], module))
        self.movers.restore(state)
        self.shares.restore(state["shares"])
        if self.average is not None:
            for average, held in zip(self.average.averages, state["average"], strict=True):
                average.copy_(like(held, average))
        self.history.resume(state["records"])
        if self.runtime.rank < len(state["random"]):
            restore_random_state(state["random"][self.runtime.rank])
