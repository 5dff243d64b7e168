"""Parts of a data set, drawn by a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data import fraction_of, split
from tutelage.errors import DataError


@settings(deadline=None, max_examples=100)
@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=80),
    part=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_every_class_gets_its_share(labels, part, seed):
    held, size = torch.tensor(labels), round(part * len(labels))
    if not 0 < size < len(labels):
        return
    rest, chosen = split(len(labels), part, labels=held, seed=seed)
    assert sorted(rest + chosen) == list(range(len(labels)))
    assert len(chosen) == size
    for kind in set(labels):
        exact = labels.count(kind) * size / len(labels)
        assert abs(int((held[chosen] == kind).sum()) - exact) < 1


def test_a_seed_repeats_and_another_differs():
    labels = torch.arange(100) % 4
    assert split(100, 0.2, labels=labels, seed=3) == split(100, 0.2, labels=labels, seed=3)
    assert split(100, 0.2, labels=labels, seed=3) != split(100, 0.2, labels=labels, seed=4)
    assert split(100, 20, seed=3)[1] == split(100, 0.2, seed=3)[1]
    assert fraction_of(labels, 0.2, seed=3) == split(100, 0.2, labels=labels, seed=3)[1]


def test_classes_too_small_for_a_share_draw_lots():
    """Ten of a hundred classes are taken: not always the first ten."""
    labels = torch.arange(100)
    taken = np.concatenate([split(100, 10, labels=labels, seed=seed)[1] for seed in range(30)])
    assert 40 < taken.mean() < 60


def test_several_labels_are_no_classes():
    labels = torch.ones(40, 3, dtype=torch.bool)
    rest, part = split(40, 0.25, labels=labels)
    assert sorted([*rest, *part]) == list(range(40))
    assert len(part) == 10


def test_targets_that_are_no_classes():
    _, chosen = split(50, 0.2, labels=torch.linspace(0, 1, 50))
    assert len(chosen) == 10
    assert 10 < np.mean(chosen) < 40


@pytest.mark.parametrize("part", [0.0, 0.001, 0.999, 1.0, 20.0, 0, 10, 11, -3, -0.5])
def test_parts_that_leave_nothing(part):
    with pytest.raises(DataError, match=r"a test split of .* both parts need at least one"):
        split(10, part, name="test")
