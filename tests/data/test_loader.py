"""The order of examples, and their way into steps, processes and micro-batches."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data import Examples, Items, Loader, uniform
from tutelage.errors import DataError
from tutelage.types import Batch


def source(count: int) -> Examples:
    return Examples(torch.arange(count, dtype=torch.float64)[:, None], torch.arange(count))


def live(batch: Batch) -> list[int]:
    """The examples of a batch that count."""
    return batch.ids.tolist() if batch.mask is None else batch.ids[batch.mask].tolist()


def steps(loader: Loader, epoch: int = 0, start: int = 0) -> list[list[int]]:
    return [[i for micro in micros for i in live(micro)] for micros in loader.epoch(epoch, start)]


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    world=st.integers(1, 4),
    accumulate=st.integers(1, 4),
    shuffle=st.booleans(),
)
def test_every_example_once_an_epoch_in_the_same_steps(count, batch_size, world, accumulate, shuffle):
    options = {"batch_size": batch_size, "shuffle": shuffle, "seed": 2}
    alone = steps(Loader(source(count), **options), 3)
    assert sorted(i for step in alone for i in step) == list(range(count))
    assert len(alone) == len(Loader(source(count), **options))
    assert all(len(step) <= batch_size + 1 for step in alone)
    loaders = [
        Loader(source(count), **options, rank=rank, world=world, accumulate=accumulate)
        for rank in range(world)
    ]
    parts = [list(loader.epoch(3)) for loader in loaders]
    assert all(len(part) == len(alone) for part in parts)
    for number, step in enumerate(alone):
        micros = [micro for part in parts for micro in part[number]]
        assert [i for micro in micros for i in live(micro)] == step
        assert all(len(micro) > 0 for micro in micros)
        assert all(part[number] for part in parts)


@settings(deadline=None, max_examples=150)
@given(
    count=st.integers(2, 200),
    batch_size=st.integers(2, 40),
    world=st.integers(1, 4),
    accumulate=st.integers(1, 4),
)
def test_batch_norm_meets_one_example_only_where_that_was_asked(count, batch_size, world, accumulate):
    share = -(-batch_size // world)
    micro = -(-share // accumulate)
    for rank in range(world):
        loader = Loader(source(count), batch_size=batch_size, rank=rank, world=world, accumulate=accumulate)
        sizes = [len(batch) for micros in loader.epoch(0) for batch in micros]
        assert min(sizes) >= min(2, micro)
        assert max(sizes) <= max(2, micro + (micro > 1))


def test_whole_steps_are_cut_evenly():
    loader = Loader(source(24), batch_size=12, world=2, rank=1, accumulate=3, shuffle=False)
    first = next(loader.epoch(0))
    assert [live(micro) for micro in first] == [[6, 7], [8, 9], [10, 11]]


def test_an_empty_part_is_there_and_masked():
    loader = Loader(source(7), batch_size=4, world=3, rank=2, shuffle=False)
    (last,) = list(loader.epoch(0))[-1]
    assert last.count == 0
    assert len(last) == 2
    assert last.mask.tolist() == [False, False]


def test_start_skips_steps():
    loader = Loader(source(20), batch_size=3, seed=4)
    assert steps(loader, 2, start=4) == steps(loader, 2)[4:]


def test_epochs_and_seeds_differ_and_repeat():
    loader = Loader(source(20), batch_size=4, seed=1)
    assert steps(loader, 0) == steps(loader, 0)
    assert steps(loader, 0) != steps(loader, 1)
    assert steps(loader, 0) != steps(Loader(source(20), batch_size=4, seed=2), 0)
    plain = Loader(source(20), batch_size=4, shuffle=False)
    assert steps(plain, 5) == [list(range(i, i + 4)) for i in range(0, 20, 4)]
    assert [live(batch) for batch in plain] == steps(plain)


def test_a_batch_size_of_nothing():
    with pytest.raises(DataError, match="batch_size is 0"):
        Loader(source(3), batch_size=0)


def state() -> tuple:
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


def noisy(batch: Batch, view: int) -> Batch:
    """A change by example and view."""
    shift = uniform(batch.ids, seed=view, draw="shift")[:, None]
    return Batch(batch.inputs + shift, batch.ids, batch.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generators_stay_untouched(workers):
    before = state()
    list(Loader(source(9), batch_size=3, transform=noisy, workers=workers).epoch(1))
    assert state() == before


def test_workers_bring_the_same_batches():
    alone = list(Loader(source(13), batch_size=4, transform=noisy, accumulate=2).epoch(1))
    helped = list(Loader(source(13), batch_size=4, transform=noisy, accumulate=2, workers=2).epoch(1))
    for one, other in zip(alone, helped, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a.inputs, b.inputs)
            assert torch.equal(a.ids, b.ids)


def test_a_view_is_the_same_whatever_the_batch():
    seen = {}
    for batch_size, world in ((3, 1), (5, 2), (13, 1)):
        for rank in range(world):
            loader = Loader(
                source(13), batch_size=batch_size, transform=noisy, rank=rank, world=world, seed=6
            )
            for micros in loader.epoch(2):
                for micro in micros:
                    for i, value in zip(micro.ids.tolist(), micro.inputs[:, 0].tolist(), strict=True):
                        assert seen.setdefault(i, value) == value
    first = {
        i: v
        for m in Loader(source(13), batch_size=13, transform=noisy, seed=6).epoch(3)
        for b in m
        for i, v in zip(b.ids.tolist(), b.inputs[:, 0].tolist(), strict=True)
    }
    assert all(first[i] != seen[i] for i in seen)


class Random(torch.utils.data.Dataset):
    """A user's data set with randomness of its own."""

    def __len__(self):
        return 8

    def __getitem__(self, number):
        return torch.tensor([float(number), random.random(), np.random.rand(), float(torch.rand(()))])


def test_a_data_sets_own_randomness_is_that_of_the_step():
    def draws(workers, epoch, start=0):
        loader = Loader(Items(Random()), batch_size=2, workers=workers)
        return {int(row[0]): row.tolist() for (micro,) in loader.epoch(epoch, start) for row in micro.inputs}

    torch.manual_seed(1)
    one = draws(0, 0)
    torch.manual_seed(2)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    assert one == draws(0, 0) == draws(1, 0) == draws(2, 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), str(np.random.get_state())) == before[1:]
    assert one.items() >= draws(2, 0, start=2).items()
    other = draws(0, 1)
    assert all(one[i] != other[i] for i in range(8))
    assert len({value for row in one.values() for value in row[1:]}) == 24


def test_keys_of_the_data_move_with_the_view_whatever_its_number():
    class Keyed(Examples):
        def batch(self, numbers):
            batch = super().batch(numbers)
            return Batch(batch.inputs, batch.ids, batch.labels, keys=torch.stack([batch.ids, batch.ids], 1))

    held = Keyed(torch.arange(4.0)[:, None], torch.arange(4))
    loader = Loader(held, batch_size=4, seed=12, transform=lambda batch, view: batch, shuffle=False)
    first, second = (next(loader.epoch(epoch))[0].keys for epoch in (100, 101))
    assert len(set(first.flatten().tolist()) | set(second.flatten().tolist())) == 8
