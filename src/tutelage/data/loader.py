"""The order of examples, and their way into steps, processes and micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from tutelage.data.sources import Source
from tutelage.errors import DataError
from tutelage.types import Batch

__all__ = ["Loader", "Transform"]

Transform = Callable[[Batch, int], Batch]
"""A change of a batch, random by example: (batch, seed of the view) -> batch."""


class Loader:
    """Batches of a source, the same for the same seed whatever the number of processes.

    Step s of epoch e holds the same examples on one process or many; each process takes its contiguous
    part, and cuts that into micro-batches. A process whose part is empty gets one masked example, so that
    it takes part in every exchange.

    Args:
        source: the examples.
        batch_size: examples in a step, over all processes and micro-batches.
        seed: the order's seed; an epoch's order depends on it and the epoch alone.
        shuffle: a new order each epoch, or the source's order.
        transform: a change of each batch, whose randomness depends on the example, the seed and the epoch.
        rank, world: which process this is, of how many.
        accumulate: micro-batches in this process's part of a step.
        workers: processes that prepare batches ahead.
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
    ) -> None:
        if batch_size < 1:
            raise DataError(f"batch_size is {batch_size}; expected at least 1")
        self.source, self.batch_size, self.seed, self.shuffle = source, batch_size, seed, shuffle
        self.transform, self.rank, self.world = transform, rank, world
        self.accumulate, self.workers = accumulate, workers

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Each batch of one pass in the source's order: for measuring."""
        for micros in self.epoch(0):
            yield from micros

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Sequence[Batch]]:
        """The micro-batches of each step of an epoch, from step `start` on, for this process."""
        plan = [self._parts(step) for step in self._steps(epoch)[start:]]
        view = self.seed * 1_000_003 + epoch
        ready = _Ready(self.source, self.transform, view)
        if not self.workers:
            yield from map(ready.__getitem__, plan)
            return
        own = torch.Generator().manual_seed(self.seed)  # the loader must not draw from the global one
        loader: DataLoader[Any] = DataLoader(
            ready, sampler=plan, batch_size=None, num_workers=self.workers, generator=own
        )
        yield from loader

    def _steps(self, epoch: int) -> list[np.ndarray[Any, Any]]:
        count = len(self.source)
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(count)
        else:
            order = np.arange(count)
        return [order[at : at + self.batch_size] for at in range(0, count, self.batch_size)]

    def _parts(self, step: np.ndarray[Any, Any]) -> list[list[int]]:
        mine = np.array_split(step, self.world)[self.rank]
        parts = [part.tolist() for part in np.array_split(mine, self.accumulate) if len(part)]
        return parts or [[-1 - int(step[0])]]  # a negative number: present, and masked


class _Ready(Dataset[list[Batch]]):
    """Finished micro-batches, by the example numbers of each."""

    def __init__(self, source: Source, transform: Transform | None, view: int) -> None:
        self.source, self.transform, self.view = source, transform, view

    def __getitem__(self, parts: Any) -> list[Batch]:
        return [self._batch(numbers) for numbers in parts]

    def _batch(self, numbers: list[int]) -> Batch:
        masked = numbers[0] < 0
        batch = self.source.batch([-1 - n for n in numbers] if masked else numbers)
        if self.transform is not None:
            batch = self.transform(batch, self.view)
        if masked:
            mask = torch.zeros(len(batch), dtype=torch.bool) if batch.mask is None else batch.mask & False
            batch = replace(batch, mask=mask)
        return batch
