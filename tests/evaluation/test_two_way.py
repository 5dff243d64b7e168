import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tutelage.evaluation import TwoWay, paired_interval, two_way
from tutelage.evaluation.two_way import seeds_alone

# What seeds and examples do not explain: rows and columns sum to 0, squares to 6, so E = 6/((3−1)(4−1)) = 1.
LEFT = torch.tensor([[1.0, -1.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.0], [0.0, 1.0, -1.0, 0.0]])
SEEDS = torch.tensor([[1.0], [2.0], [3.0]])  # the means of the seeds: m = 2, A = 1
EXAMPLES = torch.tensor([[-3.0, -1.0, 1.0, 3.0]])  # means of the examples less m: B = (9+1+1+9)/3 = 20/3
T2, T3 = 4.302653, 3.182446  # t at 0.975 with 2 and 3 degrees of freedom

cells = st.tuples(st.integers(3, 6), st.integers(2, 8)).flatmap(
    lambda shape: arrays.arrays(
        np.float64, shape, elements=st.floats(-10, 10).map(lambda value: round(value, 3)), unique=True
    )
)


def test_by_hand_where_examples_add_nothing():
    # a = max(1, 1/4)/3 = 1/3; B = 0, so b = max(0, 0/4 − 1/(3·4)) = 0
    luck = two_way(SEEDS + LEFT)
    assert luck.interval(0.95) == pytest.approx((2 - T2 / math.sqrt(3), 2 + T2 / math.sqrt(3)), abs=1e-5)
    assert (luck.share_of_seeds(0.95), luck.share_of_test_set(0.95)) == (1, 0)


def test_by_hand_with_both_parts():
    # a = 1/3; b = (20/3)/4 − 1/(3·4) = 19/12
    # half² = 4.302653² · 1/3 + 3.182446² · 19/12 = 6.17094 + 16.03594 = 22.20688, half = 4.71242
    luck = two_way(SEEDS + EXAMPLES + LEFT)
    assert luck.mean == pytest.approx(2)
    assert luck.half_width(0.95) == pytest.approx(4.71242, abs=1e-5)
    assert luck.share_of_seeds(0.95) == pytest.approx(6.17094 / 22.20688, abs=1e-5)
    assert luck.share_of_seeds(0.95) + luck.share_of_test_set(0.95) == 1
    # 0.8 of luck: t is 1.060660 and 0.978472, so √(1.125/3 + 0.957407 · 19/12) = 1.37510
    assert luck.smallest_effect(0.95) == pytest.approx(4.71242 + 1.37510, abs=1e-4)


def test_by_hand_where_seeds_agree_in_the_mean():
    # A = 0 is less than E/N = 1/4: a = (1/4)/3; b = 19/12
    luck = two_way(EXAMPLES + LEFT)
    assert luck.half_width(0.95) == pytest.approx(math.sqrt(T2**2 / 12 + T3**2 * 19 / 12), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(differences=cells, level=st.floats(0.5, 0.999))
def test_it_is_never_narrower_than_the_interval_over_seeds(differences, level):
    luck = two_way(torch.from_numpy(differences))
    low, high = paired_interval(differences.mean(1).tolist(), level=level)
    ours = luck.interval(level)
    assert ours[0] <= low + 1e-6
    assert ours[1] >= high - 1e-6


@settings(max_examples=60, deadline=None)
@given(differences=cells, level=st.floats(0.5, 0.999))
def test_where_examples_add_nothing_it_is_the_paired_t(differences, level):
    seeds, examples = differences.shape
    alike = differences - differences.mean(0, keepdims=True)
    within = alike - alike.mean(1, keepdims=True)
    floor = (within**2).sum() / ((seeds - 1) * (examples - 1)) / examples
    apart = np.sqrt(
        max(1, 2 * floor / alike.mean(1).var(ddof=1))
    )  # so that seeds differ by more than the floor
    alike = within + apart * alike.mean(1, keepdims=True)
    luck = two_way(torch.from_numpy(alike))
    assert luck.share_of_test_set(level) == pytest.approx(0, abs=1e-9)
    assert luck.interval(level) == pytest.approx(
        paired_interval(alike.mean(1).tolist(), level=level), abs=1e-6
    )


@settings(max_examples=60, deadline=None)
@given(differences=cells, seed=st.integers(0, 99), scale=st.floats(0.01, 100))
def test_order_is_nothing_and_scale_scales(differences, seed, scale):
    chance = np.random.default_rng(seed)
    one = two_way(torch.from_numpy(differences))
    mixed = chance.permutation(chance.permutation(differences, axis=0), axis=1)
    other = two_way(torch.from_numpy(mixed))
    assert other.interval(0.95) == pytest.approx(one.interval(0.95), rel=1e-6, abs=1e-9)
    scaled = two_way(scale * torch.from_numpy(differences))
    assert scaled.half_width(0.9) == pytest.approx(scale * one.half_width(0.9), rel=1e-6)
    assert scaled.smallest_effect(0.9) == pytest.approx(scale * one.smallest_effect(0.9), rel=1e-6)
    assert two_way(-torch.from_numpy(differences)).interval(0.9) == pytest.approx(
        tuple(-edge for edge in reversed(one.interval(0.9))), rel=1e-6, abs=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(differences=cells)
def test_at_the_p_value_the_interval_touches_zero(differences):
    luck = two_way(torch.from_numpy(differences))
    p_value = luck.p_value()
    assert 0 < p_value <= 1
    if abs(luck.mean) > 1e-6 and p_value > 1e-9:
        assert luck.half_width(1 - p_value) == pytest.approx(abs(luck.mean), rel=1e-4)


def test_the_p_value_over_seeds_is_that_of_a_paired_t_test():
    # mean 2, spread 1, three seeds: t = 2·√3, two-sided with 2 degrees of freedom 0.07418
    assert seeds_alone([1.0, 2.0, 3.0]).p_value() == pytest.approx(0.07418, abs=1e-5)
    assert seeds_alone([-1.0, 0.0, 1.0]).p_value() == 1


def test_more_seeds_and_more_examples_show_less():
    luck = two_way(SEEDS + EXAMPLES + LEFT)
    here = luck.smallest_effect(0.95)
    assert luck.smallest_effect(0.95, seeds=20) < here
    assert luck.smallest_effect(0.95, times=10) < luck.smallest_effect(0.95, times=2) < here


def test_a_million_examples():
    chance = torch.Generator().manual_seed(0)
    luck = two_way(torch.randn(3, 1_000_000, generator=chance) + torch.randn(1_000_000, generator=chance))
    assert luck.interaction == pytest.approx(1, rel=0.01)
    assert luck.example_variance == pytest.approx(1, rel=0.01)


def test_the_interval_covers_the_truth_on_other_seeds_and_examples():
    chance = torch.Generator().manual_seed(0)
    wrong = {True: 0, False: 0}
    for _ in range(1500):
        parts = [torch.randn(size, generator=chance) for size in ((5, 1), (1, 40), (5, 40))]
        differences = 0.1 * parts[0] + parts[1] + parts[2]
        low, high = two_way(differences).interval(0.95)
        wrong[True] += not low <= 0 <= high
        low, high = paired_interval(differences.mean(1).tolist())
        wrong[False] += not low <= 0 <= high
    assert wrong[True] / 1500 < 0.06
    assert wrong[False] / 1500 > 0.1  # over seeds alone: what was on this test set


@pytest.mark.parametrize(("shape", "said"), [((1, 5), "1 and 5"), ((5, 1), "5 and 1")])
def test_one_seed_or_one_example_has_no_spread(shape, said):
    with pytest.raises(ValueError, match=f"two seeds and two examples were expected; got {said}"):
        two_way(torch.zeros(shape))


def test_differences_that_are_not_finite():
    with pytest.raises(ValueError, match="finite"):
        two_way(torch.tensor([[1.0, math.nan], [1.0, 2.0], [3.0, 1.0]]))


def test_no_luck_at_all():
    luck = TwoWay(mean=1.0, seeds=3, examples=5, seed_variance=0.0)
    assert luck.interval(0.95) == (1, 1)
    assert luck.share_of_seeds(0.95) is luck.share_of_test_set(0.95) is None
