"""The one loop: for each turn, its terms, their sum, backward, a step.

Every class of knowledge and every scheme comes here as turns. What the loop adds is what any training
needs: one denominator over micro-batches and processes, checkpoints, validation, a polite stop.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.engine.average import WeightAverage
from tutelage.engine.division import Division
from tutelage.engine.optimizer_steps import OptimizerSteps
from tutelage.engine.parallel import Runtime
from tutelage.engine.prefetching import prefetched
from tutelage.engine.saves import Parts, Saves
from tutelage.engine.selection import Selections, Validation
from tutelage.engine.settings import OptimizerSettings, TrainSettings
from tutelage.engine.shares import Shares, backward
from tutelage.engine.tracking import History, Progress
from tutelage.engine.values import Values
from tutelage.errors import DataError, Interrupted, TutelageWarning
from tutelage.types import Batch, Batches, Moment, Turn

__all__ = ["Fitted", "fit"]

_Loaded = tuple[Sequence[Batch], Sequence[float]]
"""A step's micro-batches, and the part of the one denominator that each has."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training did.

    Args:
        steps: updates made.
        seconds: time spent in training, validation and checkpoints left out, interrupted parts included.
        best: the step and the validation metric of the weights kept, or None without validation.
        history: the records, in order.
        chosen: the same as `best` for each student, by name.
        untouched: the parameters of turns that got no gradient, by module and name.
    """

    steps: int
    seconds: float
    best: dict[str, float] | None
    history: list[dict[str, Any]]
    chosen: dict[str, Any] = field(default_factory=dict)
    untouched: list[str] = field(default_factory=list)


def fit(
    turns: Sequence[Turn],
    modules: Mapping[str, nn.Module],
    batches: Batches,
    settings: TrainSettings,
    *,
    optimizers: Mapping[str, OptimizerSettings],
    runtime: Runtime,
    validation: Validation | Sequence[Validation] | None = None,
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
        validation: how the weights to keep are chosen, one for each student where there are several; without
            it the last ones are kept.
        folder: where the checkpoint and the history live. A checkpoint found there is taken up.
        label: what to call it in progress and trackers.

    Raises:
        DataError: the batches were cut for another number of processes.
        NonFiniteLoss: a term or a weight became NaN or infinite; names step, turn and term.
        CheckpointError: the checkpoint in `folder` is damaged, or of another run.
        Interrupted: a stop was asked for, and a checkpoint was written.
    """
    within = Division(turns, runtime).within
    cut_for = getattr(batches, "world", within.world)
    if cut_for != within.world:
        raise DataError(
            f"the batches are cut for {cut_for} processes, and {within.world} train on them together; give "
            "the Loader rank and world of Division(turns, runtime).within"
        )
    loop = _Loop(turns, modules, batches, settings, optimizers, runtime)
    validations = [validation] if isinstance(validation, Validation) else list(validation or ())
    loop.attach(validations, folder, label)
    return loop.run()


_SHORT = 10
"""Steps that are too few to speak of an average."""

_SHOWN = 16
"""Steps whose batches gather the statistics of batch norms, where weights are averaged."""


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
        self.layout = torch.channels_last if settings.channels_last else None
        self.total_steps = settings.total_steps(len(batches))
        self.optimizer_steps = OptimizerSteps(
            turns,
            optimizers,
            total_steps=self.total_steps,
            clip=settings.clip,
            per_epoch=len(batches),
            epochs=settings.epochs,
        )
        self.shares = Shares(turns)
        self.division = Division(turns, runtime)
        self.within = self.division.within
        runtime.same_everywhere_(modules.values())
        self.average = self._averaging(settings.average) if settings.average else None
        self.values = Values(self.within, lambda: self.saves.where)
        self.step, self.seconds = 0, 0.0
        moved = {id(parameter) for turn in turns for parameter in turn.parameters}
        self.untouched = {
            id(parameter): f"{name}.{path}"
            for name, module in modules.items()
            for path, parameter in module.named_parameters()
            if id(parameter) in moved
        }

    def attach(self, validations: Sequence[Validation], folder: Path | None, label: str) -> None:
        """Say how to validate, where to write and what to be called."""
        self.label, runtime = label, self.runtime
        self.selections = Selections(
            self.modules, validations, self.average, keep=self.settings.keep, folder=folder, runtime=runtime
        )
        self.history = History(folder / "history.jsonl" if folder else None, writes=runtime.is_main)
        parts = Parts(
            turns=self.turns,
            modules=self.modules,
            optimizer_steps=self.optimizer_steps,
            shares=self.shares,
            average=self.average,
            values=self.values,
            selections=self.selections,
            history=self.history,
            runtime=runtime,
            division=self.division,
            untouched=self.untouched,
        )
        self.saves = Saves(parts, folder, every=self.settings.checkpoint_every)

    def _averaging(self, decay: float) -> WeightAverage:
        if self.total_steps > _SHORT and decay > 1 - 1 / self.total_steps:
            warnings.warn(
                f"average: {decay:g} remembers {1 / (1 - decay):,.0f} steps and the training has "
                f"{self.total_steps:,}, so that the average is mostly of the first weights; take "
                f"{1 - 10 / self.total_steps:.2g} or less, or train for longer",
                TutelageWarning,
                stacklevel=2,
            )
        return WeightAverage(self.modules, decay=decay, show=self._show)

    def _show(self) -> None:
        """Show the networks some batches of the first epoch, for the statistics of batch norms."""
        with torch.random.fork_rng(), torch.no_grad(), self.runtime.autocast(self.settings.precision):
            for micros in islice(self.batches.epoch(0), _SHOWN):
                for batch in (held.to(self.runtime.device, memory_format=self.layout) for held in micros):
                    for turn in self.turns:
                        if turn.sees is not None:
                            turn.sees(batch)

    # -- the ladder: run, epoch, step, turn ---------------------------------------------------------

    def run(self) -> Fitted:
        for module in self.modules.values():
            if not module.training:
                module.train()
        self.step, self.seconds = self.saves.resume()
        with Progress(self.label, self.total_steps, quiet=self.runtime.quiet) as self.progress:
            self.progress.start_at(self.step)
            while self.step < self.total_steps and not self._enough():
                self._epoch()
            self._log()
        self.division.bring(self.average)
        self.selections.settle()
        return Fitted(
            self.step,
            self.seconds,
            self.selections.best,
            self.history.records,
            self.selections.state(),
            self.division.everywhere(list(self.untouched.values())),
        )

    def _epoch(self) -> None:
        length = len(self.batches)
        epoch, start = divmod(self.step, length)
        clock = time.perf_counter()
        for micros, parts in self._coming(epoch, start):
            self._step(micros, parts)
            self.seconds += time.perf_counter() - clock
            if self.step == self.total_steps or self.step % length == 0:
                break
            self._pause()
            clock = time.perf_counter()
        if self._validates(epoch + 1):
            self._validate(epoch + 1)
        self._pause()

    def _coming(self, epoch: int, start: int) -> Iterator[_Loaded]:
        """The steps of an epoch, on their device; one ahead where a turn begins early."""
        left = islice(self.batches.epoch(epoch, start), self.total_steps - self.step)
        loaded = map(self._load, left)
        early = any(turn.ahead is not None for turn in self.turns)
        return prefetched(loaded, self._begin) if early else loaded

    def _load(self, micros: Sequence[Batch]) -> _Loaded:
        parts = self._parts(micros)  # counted where the batches are, before they move
        return [batch.to(self.runtime.device, memory_format=self.layout) for batch in micros], parts

    def _begin(self, loaded: _Loaded) -> None:
        with self.runtime.autocast(self.settings.precision):
            for begin in (turn.ahead for turn in self.turns if turn.ahead is not None):
                for batch in loaded[0]:
                    begin(batch)

    def _step(self, micros: Sequence[Batch], parts: Sequence[float]) -> None:
        values: dict[str, Tensor | float] = {}
        for turn in self.turns:
            turn.before(self._moment())
        self.step += 1
        for turn in self.division.own:
            for again in range(turn.repeat):
                values |= self._turn(turn, *self._made(turn, again, micros, parts))
        self.division.exchange(self.step)
        for turn in self.turns:
            turn.after(self._moment())
        if self.average is not None:
            self.average.update()
        self.values.add(self.step, values)
        if self.step % self.settings.log_every == 0:
            self._log()

    def _turn(self, turn: Turn, micros: Sequence[Batch], parts: Sequence[float]) -> dict[str, Tensor | float]:
        self.optimizer_steps.clear(turn)
        apart = self.shares.apart(turn, self.step)
        values: dict[str, Tensor | float] = {}
        for batch, part in zip(micros, parts, strict=True):
            terms = self._terms(turn, batch)
            backward({name: term for name, term in terms.items() if name not in turn.notes}, part, apart)
            for name, term in terms.items():
                key = f"{turn.name}/{name}"
                values[key] = values.get(key, 0.0) + term.detach() * part
        if apart is not None and apart.parts:
            apart.add(self.shares.note(turn, apart.norms(self.within)))
        self.within.sum_gradients_(turn.parameters)
        if self.untouched:
            for parameter in turn.parameters:
                if parameter.grad is not None:
                    self.untouched.pop(id(parameter), None)
        self.optimizer_steps.move(turn)
        return values

    def _made(self, turn: Turn, again: int, micros: Sequence[Batch], parts: Sequence[float]) -> _Loaded:
        """The batches that a turn learns from, counted after they are made."""
        if turn.makes is None:
            return micros, parts
        moment = replace(self._moment(), move=(self.step - 1) * turn.repeat + again)
        with self.runtime.autocast(self.settings.precision):
            made = [turn.makes(batch, moment) for batch in micros]
        return made, self._parts(made)

    def _terms(self, turn: Turn, batch: Batch) -> Mapping[str, Tensor]:
        with self.runtime.autocast(self.settings.precision):
            terms = turn.terms(batch)
        self.values.check(self.step, turn, terms)
        return terms

    def _parts(self, micros: Sequence[Batch]) -> list[float]:
        """Each micro-batch's part of the one denominator: the items of the whole global batch."""
        counts = [batch.count for batch in micros]
        whole = max(1, self.within.total(sum(counts)))
        return [count / whole for count in counts]

    def _moment(self) -> Moment:
        return Moment(self.step, self.total_steps, len(self.batches))

    # -- between steps ------------------------------------------------------------------------------

    def _validates(self, epoch: int) -> bool:
        """Whether it is time: after every so many whole epochs, and at the end."""
        due = self.step % len(self.batches) == 0 and epoch % self.settings.validate_every == 0
        return bool(self.selections.each) and (due or self.step == self.total_steps)

    def _enough(self) -> bool:
        """Whether no student got better for as long as it may take."""
        patience = self.settings.patience
        return patience is not None and self.selections.waited(self.history.records) >= patience

    def _validate(self, epoch: int) -> None:
        self._log()
        self.division.bring(self.average)
        measured = self.selections.look(self.step)
        record = {"step": self.step, "epoch": epoch, "validation": next(iter(measured.values()))}
        self._record(record | ({"validations": measured} if len(measured) > 1 else {}))

    def _pause(self) -> None:
        """Write a checkpoint when it is time, stop when asked to."""
        if self.runtime.world > 1 and self.step % self.settings.log_every and self.step < self.total_steps:
            return
        due = self.saves.due
        stop = self.runtime.any(self.runtime.stop_asked)
        if stop or self.runtime.any(due):
            self.saves.write(self.step, self.seconds)
        if stop:
            where = f"; a checkpoint is at {self.saves.where}" if self.saves.where else ""
            raise Interrupted(f"stopped on request at step {self.step} of {self.total_steps}{where}")

    def _log(self) -> None:
        """Read the values since the last line back to the host, all at once, and write their means."""
        if not self.values.steps:
            return
        terms = self.division.collect(self.values.means())
        noted = [key for turn in self.turns for note in turn.notes if (key := f"{turn.name}/{note}") in terms]
        notes = {key: terms.pop(key) for key in noted}
        record: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step / len(self.batches),
            "loss": sum(terms.values()),
            "terms": terms,
            "lr": self.division.collect(self.optimizer_steps.learning_rates()),
            "weights": self.division.collect(
                {f"{t.name}/{name}": held for t in self.turns for name, held in t.weights().items()}
            ),
            "shares": self.division.collect(self.shares.last),
        }
        self._record(record | ({"notes": notes} if notes else {}))
        best = {"best": self.selections.best["value"]} if self.selections.best else {}
        self.progress.show(self.step, {"loss": record["loss"]} | best)

    def _record(self, record: dict[str, Any]) -> None:
        self.history.add(record)
        self.runtime.track(record, self.label)
