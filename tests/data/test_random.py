"""Random numbers that belong to an example."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tutelage.data import uniform

IDS = torch.arange(20_000)


def test_numbers_are_uniform():
    values = uniform(IDS, seed=1, draw="x")
    assert values.dtype == torch.float64
    assert float(values.min()) >= 0
    assert float(values.max()) < 1
    assert stats.kstest(values.numpy(), "uniform").pvalue > 1e-3


def test_neighbours_draws_and_seeds_are_unrelated():
    base = uniform(IDS, seed=1, draw="x")
    others = [
        base.roll(1),
        uniform(IDS, seed=2, draw="x"),
        uniform(IDS, seed=1 + 1_000_003, draw="x"),
        uniform(IDS, seed=1, draw="y"),
        uniform(IDS + 1, seed=0, draw="x"),
    ]
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([base, other]))[0, 1])) < 0.03
        assert not torch.equal(base, other)


@settings(deadline=None, max_examples=30)
@given(ids=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20), seed=st.integers(-5, 2**70))
def test_a_number_depends_on_its_example_alone(ids, seed):
    together = uniform(torch.tensor(ids), seed=seed, draw="x").tolist()
    alone = [uniform(torch.tensor([i]), seed=seed, draw="x").item() for i in ids]
    assert together == alone
    assert all(0 <= value < 1 for value in together)


def test_numbers_do_not_change_between_versions():
    """Runs of yesterday must be repeatable."""
    values = uniform(torch.tensor([0, 1, 2]), seed=7, draw="flip")
    assert values.tolist() == [0.10036123246525341, 0.9470353867615791, 0.9267865064287069]
