import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tutelage.evaluation import Verdict, gap_closed, judge, paired_interval, warnings_about

numbers = st.floats(-100, 100).map(lambda value: round(value, 4))


def test_interval_by_hand():
    # mean 2, standard deviation 1, t(0.975, 2) = 4.302653
    low, high = paired_interval([1.0, 2.0, 3.0])
    assert low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-5)
    assert high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-5)


def test_an_interval_needs_a_spread():
    assert paired_interval([1.0]) is None
    assert paired_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(0.3, 2.0, size=(2000, 5)).tolist()
    for level in (0.8, 0.95):
        covered = [low <= 0.3 <= high for low, high in (paired_interval(row, level=level) for row in draws)]
        assert np.mean(covered) == pytest.approx(level, abs=0.015)


def test_better():
    control = [0.970, 0.972, 0.971, 0.969, 0.973]
    verdict = judge("accuracy", control, [0.980, 0.980, 0.981, 0.978, 0.982])
    assert verdict.word == "better"
    assert verdict.difference == pytest.approx(0.0092)
    assert verdict.interval == pytest.approx((0.0081613, 0.0102387), abs=1e-6)
    assert verdict.advice == ()
    assert verdict.why == (
        "0.9 points more accurate than the same student trained alone, "
        "95 % interval 0.8 to 1.0 over 5 paired seeds"
    )


def test_worse_comes_with_advice():
    verdict = judge("accuracy", [0.9, 0.91, 0.92], [0.8, 0.812, 0.818], level=0.9)
    assert verdict.word == "worse"
    assert verdict.why.startswith(
        "10.0 points less accurate than the same student trained alone, 90 % interval"
    )
    for advice in ("weight", "calibration", "temperature", "assistant", "longer"):
        assert any(advice in line for line in verdict.advice)


def test_fewer_errors_are_better():
    verdict = judge("errors", [150, 152, 148], [140, 141, 139], higher_is_better=False)
    assert verdict.word == "better"
    assert verdict.difference == -10
    assert verdict.why == (
        "10 fewer errors than the same student trained alone, 95 % interval 7.52 to 12.5 over 3 paired seeds"
    )


def test_not_shown_says_how_many_seeds_it_would_take():
    verdict = judge("accuracy", [0.90, 0.91, 0.92], [0.91, 0.905, 0.935])
    assert verdict.word == "not shown"
    assert verdict.why.endswith("over 3 paired seeds holds zero")
    # spread 0.0104, difference 0.00667: about (1.96 + 0.84)² · 2.44 = 19 for a normal, a few more for a t
    assert "about 22 would be needed" in verdict.advice[0]


def test_one_seed_shows_nothing():
    verdict = judge("nll", [0.5], [0.3], higher_is_better=False)
    assert (verdict.word, verdict.interval) == ("not shown", None)
    assert verdict.why.startswith("nll 0.2 lower than the same student trained alone, on one seed")
    assert "one has no spread" in verdict.advice[0]


def test_equal_arms():
    verdict = judge("balanced_accuracy", [0.5, 0.6], [0.5, 0.6])
    assert (verdict.word, verdict.difference, verdict.interval) == ("not shown", 0.0, (0.0, 0.0))
    assert verdict.why.startswith("no different from")
    assert "hardly show" in verdict.advice[0]
    assert "in errors, and the 95 % interval −12.7 to 12.7" in judge("errors", [5, 6], [6, 5]).why


def test_rounding_is_no_difference():
    assert judge("nll", [0.1 + 0.2] * 3, [0.3] * 3).word == "not shown"


def test_seeds_that_agree_exactly_show_nothing():
    verdict = judge("recall_1", [0.5, 0.25], [0.625, 0.375])
    assert (verdict.word, verdict.interval) == ("not shown", (0.125, 0.125))
    assert "recall_1 12.5 points higher" in verdict.why
    assert "tells no spread" in verdict.why
    assert "these agree exactly" in verdict.advice[0]


def test_one_example_of_a_small_test_set_shows_nothing():
    control, student = [0.900, 0.910], [0.905, 0.915]
    verdict = judge("accuracy", control, student, resolution=1 / 200)
    # t(0.975, 1) = 12.706; rounding to steps of 0.005 spreads a difference by 0.005 · √(2/12) = 0.00204
    low, high = verdict.interval
    assert verdict.word == "not shown"
    assert (high - low) / 2 == pytest.approx(12.706 * 0.00204124 / math.sqrt(2), rel=1e-4)
    wide = judge("accuracy", [0.5, 0.6], [0.6, 0.9], resolution=1 / 200)
    assert wide.interval == judge("accuracy", [0.5, 0.6], [0.6, 0.9]).interval


@settings(max_examples=100, deadline=None)
@given(pairs=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), level=st.floats(0.5, 0.99))
def test_swapping_the_arms_swaps_the_verdict(pairs, level):
    control, student = zip(*pairs, strict=True)
    one, other = judge("m", control, student, level=level), judge("m", student, control, level=level)
    lower = judge("m", control, student, level=level, higher_is_better=False)
    swapped = {"better": "worse", "worse": "better", "not shown": "not shown"}
    assert other.word == lower.word == swapped[one.word]
    assert other.difference == -one.difference
    if one.interval is not None:
        assert other.interval == (-one.interval[1], -one.interval[0])
        assert one.interval[0] <= one.difference <= one.interval[1]


@settings(max_examples=50, deadline=None)
@given(differences=st.lists(numbers, min_size=2, max_size=8))
def test_a_higher_level_is_a_wider_interval(differences):
    assume(len(set(differences)) > 1)
    narrow, wide = paired_interval(differences, level=0.8), paired_interval(differences, level=0.99)
    assert wide[0] < narrow[0] <= narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("control", "student", "message"),
    [
        ([1.0], [1.0, 2.0], "1 for the control and 2 for the student"),
        ([], [], "got none"),
        ([1.0, 2.0], [1.0, math.nan], "student: .*1 of 2 NaN"),
        ([math.inf], [1.0], "control"),
    ],
)
def test_lists_that_cannot_be_compared(control, student, message):
    with pytest.raises(ValueError, match=message):
        judge("accuracy", control, student)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_a_level_outside_its_range(level):
    with pytest.raises(ValueError, match="confidence level"):
        judge("accuracy", [1.0, 2.0], [1.0, 2.0], level=level)


def test_a_verdict_is_plain_json():
    verdict = judge("accuracy", [0.5, 0.6], [0.7, 0.7], uncontrolled=["tuning"])
    assert isinstance(verdict, Verdict)
    values = json.loads(json.dumps(verdict.as_dict()))
    assert values["uncontrolled"] == ["tuning"]
    assert values["interval"] == list(verdict.interval)
    assert values["word"] == verdict.word


def test_gap_closed():
    assert gap_closed(0.9, 0.8, 0.85) == pytest.approx(0.5)
    assert gap_closed(60, 140, 80, higher_is_better=False) == pytest.approx(0.75)
    assert gap_closed(0.9, 0.8, 0.75) == pytest.approx(-0.5)
    assert gap_closed(0.8, 0.8, 0.9) is None
    assert gap_closed(0.7, 0.8, 0.9) is None
    with pytest.raises(ValueError, match="finite"):
        gap_closed(math.nan, 0.8, 0.9)


def test_nothing_to_warn_about():
    assert warnings_about(0.9, 0.8, 0.1, seeds=3) == []
    assert warnings_about(60, 140, 9000, metric="errors", higher_is_better=False) == []


def test_warnings():
    (chance, worse) = warnings_about(0.1, 0.8, 0.1)
    assert (
        chance == "The teacher is no better than chance (accuracy 0.1, chance 0.1): it has nothing to teach."
    )
    assert worse == "The teacher is worse than the student trained alone (accuracy 0.1 against 0.8)."
    assert "too weak a control" in warnings_about(0.9, 0.1, 0.1)[0]
    assert "No control" in warnings_about(0.9, None, 0.1)[0]
    assert "Only one seed" in warnings_about(0.9, 0.8, 0.1, seeds=1)[0]
    assert "no better than chance" in warnings_about(math.nan, 0.8, 0.1)[0]
    assert (
        "worse than the student" in warnings_about(150, 140, 9000, metric="errors", higher_is_better=False)[0]
    )
