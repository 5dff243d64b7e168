"""The order of examples, and their way into steps, processes and micro-batches."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tutelage.data.keys import keys_of
from tutelage.data.random import own_draws
from tutelage.data.showing import Showing, Transform
from tutelage.data.sources import Source
from tutelage.errors import DataError
from tutelage.types import Batch

__all__ = ["Loader", "Views", "view_of"]


class Loader:
    """Batches of a source, the same for the same seed whatever the number of processes.

    Step s of epoch e holds the same examples on one process or many; each process takes its contiguous
    part, and cuts that into micro-batches. A process whose part is empty gets masked examples, so that it
    takes part in every exchange. Batch norm cannot learn from one example: where batches are to hold more, a
    single one that is left at the end of an epoch, a part or a micro-batch joins those before it.

    Args:
        source: the examples.
        batch_size: examples in a step, over all processes and micro-batches.
        seed: the order's seed; an epoch's order depends on it and the epoch alone.
        shuffle: a new order each epoch, or the source's order. Where examples have weights an epoch draws as
            many as there are, in proportion to them.
        transform: a change of each batch, whose randomness depends on the example, the seed and the epoch.
        rank, world: which process this is, of how many.
        accumulate: micro-batches in this process's part of a whole step.
        workers: processes that prepare batches ahead.
        keyed: give each batch the keys by which stored answers are found.
        pinned: put batches into memory from which an accelerator copies while the processor goes on.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        transform: Transform | None = None,
        rank: int = 0,
        world: int = 1,
        accumulate: int = 1,
        workers: int = 0,
        keyed: bool = False,
        pinned: bool = False,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size is {batch_size}; expected at least 1")
        self.source, self.batch_size, self.seed, self.shuffle = source, batch_size, seed, shuffle
        self.transform, self.rank, self.world = transform, rank, world
        self.accumulate, self.workers = accumulate, workers
        self.keyed, self.pinned = keyed, pinned

    def __len__(self) -> int:
        steps = -(-len(self.source) // self.batch_size)
        left = len(self.source) - (steps - 1) * self.batch_size
        return steps - 1 if left == 1 < min(self.batch_size, steps) else steps

    def __iter__(self) -> Iterator[Batch]:
        """Each batch of one pass in the source's order: for measuring."""
        for micros in self.epoch(0):
            yield from micros

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        """The micro-batches of each step of an epoch, from step `start` on, for this process."""
        plan = [self._parts(step) for step in self._steps(epoch)[start:]]
        view = view_of(self.seed, epoch)
        ready = Views(self.source, self.transform, view, keyed=self.keyed)
        if not self.workers:
            for micros in map(ready.__getitem__, plan):
                yield [batch.pin_memory() for batch in micros] if self.pinned else micros
            return
        own = torch.Generator().manual_seed(view)  # the loader must not draw from the global one
        loader: DataLoader[Any] = DataLoader(
            ready,
            sampler=plan,
            batch_size=None,
            num_workers=self.workers,
            generator=own,
            pin_memory=self.pinned,
            worker_init_fn=_outlive_one_signal,
        )
        yield from loader

    def _steps(self, epoch: int) -> list[np.ndarray[Any, Any]]:
        count = len(self.source)
        if self.shuffle:
            order = _order(self.source, np.random.default_rng([self.seed, epoch]))
        else:
            order = np.arange(count)
        return np.split(order, range(self.batch_size, len(self) * self.batch_size, self.batch_size))

    def _parts(self, step: np.ndarray[Any, Any]) -> list[list[int]]:
        if self.world == self.accumulate == 1:
            return [step.tolist()]
        share = -(-self.batch_size // self.world)
        size = -(-share // self.accumulate)
        shares = np.array_split(step, max(1, min(self.world, len(step) if share == 1 else len(step) // 2)))
        if self.rank >= len(shares):
            return [[-1 - int(step[0])] * 2]  # negative numbers: present, and masked
        mine = shares[self.rank]
        count = len(mine) if size == 1 else -(-(len(mine) - 1) // size)
        return [part.tolist() for part in np.array_split(mine, max(1, count))]


def _shift(view: int) -> int:
    """What keys of the data's own are moved by in a view, within 64 bits."""
    return ((view + 1) * 0x9E3779B97F4A7C1 + 2**63) % 2**64 - 2**63


def _outlive_one_signal(_: int) -> None:
    """Leave the first request to stop to the main process: a group gets it whole, and workers feed it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda came, _: signal.signal(came, signal.SIG_DFL))


def _order(source: Source, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """Each example once; where they have weights as many, drawn with replacement."""
    weights = source.weights
    if weights is None:
        return draw.permutation(len(source))
    return draw.choice(len(source), len(source), p=(weights / weights.sum()).numpy())


def view_of(seed: int, epoch: int) -> int:
    """The seed of what an epoch shows: the same view of an example comes back with it."""
    return seed * 1_000_003 + epoch


class Views(Dataset[list[Batch]]):
    """Finished micro-batches, by the example numbers of each.

    Args:
        source: the examples.
        transform: a change of each batch, or None.
        view: see `view_of`.
        keyed: give each batch its keys.
    """

    def __init__(
        self, source: Source, transform: Transform | None, view: int, *, keyed: bool = False
    ) -> None:
        self.source, self.view, self.keyed = source, view, keyed
        self.transform = transform.over(source) if isinstance(transform, Showing) else transform

    def __getitem__(self, parts: Any) -> list[Batch]:
        # A data set's own draws depend on the step alone: alike for student and control, in any worker.
        with own_draws(self.view, parts[0][0]) if self.source.draws else nullcontext():
            return [self._batch(numbers) for numbers in parts]

    def _batch(self, numbers: list[int]) -> Batch:
        masked = numbers[0] < 0
        batch = self.source.batch([-1 - n for n in numbers] if masked else numbers)
        if self.transform is not None:
            batch = self.transform(batch, self.view)
            if batch.keys is not None:  # keys of the data's own do not know the view
                batch = replace(batch, keys=batch.keys + _shift(self.view))
        if masked:
            mask = torch.zeros(len(batch), dtype=torch.bool) if batch.mask is None else batch.mask & False
            batch = replace(batch, mask=mask)
        return replace(batch, keys=keys_of(batch)) if self.keyed else batch
