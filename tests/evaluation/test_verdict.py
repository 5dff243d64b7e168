import json
import math

import numpy as np
import pytest
import torch
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
        "95 % interval 0.8 to 1.0 over 5 paired seeds (which says nothing about another test set)"
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
        "10 fewer errors than the same student trained alone, 95 % interval −12.5 to −7.52 over 3 paired "
        "seeds (which says nothing about another test set)"
    )


def test_not_shown_says_how_many_seeds_it_would_take():
    verdict = judge("accuracy", [0.90, 0.91, 0.92], [0.91, 0.905, 0.935])
    assert verdict.word == "not shown"
    assert "over 3 paired seeds (which says nothing about another test set) holds zero; 3.2" in verdict.why
    # spread 0.0104/√3 times t(0.975, 2) + t(0.8, 2) = 4.3027 + 1.0607
    assert verdict.smallest_effect == pytest.approx(0.0322, abs=1e-4)
    assert verdict.why.endswith("3.2 points is the smallest effect that this run could have shown")
    # spread 0.0104, difference 0.00667: about (1.96 + 0.84)² · 2.44 = 19 for a normal, a few more for a t
    assert "about 22 would be needed" in verdict.advice[0]


@pytest.mark.parametrize(("seeds", "said"), [(1, "one seed: "), (2, "2 seeds: no word")])
def test_no_word_below_three_seeds(seeds, said):
    verdict = judge("nll", [0.5, 0.51][:seeds], [0.3, 0.31][:seeds], higher_is_better=False)
    assert (verdict.word, verdict.interval, verdict.p_value) == ("not shown", None, None)
    assert verdict.difference == pytest.approx(-0.2)
    assert verdict.why.startswith(f"nll 0.2 lower than the same student trained alone, on {said}")
    assert "at least three are needed" in verdict.advice[0]


def test_equal_arms():
    verdict = judge("balanced_accuracy", [0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert (verdict.word, verdict.difference, verdict.interval) == ("not shown", 0.0, None)
    assert verdict.why == (
        "balanced_accuracy no different from that of the same student trained alone, and 3 paired seeds "
        "agree exactly, which tells no spread"
    )
    level = judge("errors", [5, 6, 7, 8], [6, 5, 8, 7])
    assert "in errors" not in level.why
    assert level.why.startswith(
        "errors no different from that of the same student trained alone, and the 95 %"
    )
    assert level.p_value == 1
    assert "the means are equal" in level.advice[0]


def test_rounding_is_no_difference():
    assert judge("nll", [0.1 + 0.2] * 3, [0.3] * 3).word == "not shown"


def test_seeds_that_agree_exactly_show_nothing():
    verdict = judge("recall_1", [0.5, 0.25, 0.75], [0.625, 0.375, 0.875])
    assert (verdict.word, verdict.interval) == ("not shown", None)
    assert "recall_1 12.5 points higher" in verdict.why
    assert "tells no spread" in verdict.why
    assert "these agree exactly" in verdict.advice[0]


def test_one_example_of_a_small_test_set_shows_nothing():
    control, student = [0.900, 0.910, 0.920], [0.905, 0.915, 0.925]
    verdict = judge("accuracy", control, student, resolution=1 / 200)
    # t(0.975, 2) = 4.302653; rounding to steps of 0.005 spreads a difference by 0.005 · √(2/12) = 0.00204
    low, high = verdict.interval
    assert verdict.word == "not shown"
    assert (high - low) / 2 == pytest.approx(4.302653 * 0.00204124 / math.sqrt(3), rel=1e-4)
    far = [0.5, 0.6, 0.5], [0.6, 0.9, 0.8]
    assert judge("accuracy", *far, resolution=1 / 200).interval == judge("accuracy", *far).interval


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
    verdict = judge("accuracy", [0.5, 0.6, 0.5], [0.7, 0.7, 0.7], uncontrolled=["tuning"])
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


def cells(seeds=5, count=400, gain=0.0, shared=0.3, own=0.3, seed=0, exact=True):
    """Control and student [seeds, count] of an invented measure; the gain is exact, or expected."""
    chance = torch.Generator().manual_seed(seed)
    control = torch.randn(seeds, count, generator=chance)
    effect = shared * torch.randn(count, generator=chance) + own * torch.randn(seeds, count, generator=chance)
    return control, control + gain + effect - exact * effect.mean()


def of_cells(pair, **options):
    control, student = (each.double().mean(1).tolist() for each in pair)
    return judge("score", control, student, examples=pair, **options)


def test_it_speaks_of_seeds_and_examples():
    verdict = of_cells(cells(gain=0.2))
    assert verdict.word == "better"
    assert (verdict.seeds, verdict.examples) == (5, 400)
    assert verdict.share_of_seeds + verdict.share_of_test_set == pytest.approx(1)
    assert 0 < verdict.smallest_effect < 0.2
    assert verdict.p_value < 0.001
    share = round(100 * verdict.share_of_seeds)
    assert "over 5 paired seeds and 400 test examples" in verdict.why
    assert verdict.why.endswith(f"({share} % of it the luck of seeds, {100 - share} % that of the test set)")


def test_what_was_on_one_test_set_is_not_shown():
    pair = cells(count=30, shared=1.0, own=0.05, gain=0.25)  # all seeds alike
    control, student = (each.double().mean(1).tolist() for each in pair)
    assert judge("score", control, student).word == "better"
    verdict = of_cells(pair)
    assert verdict.word == "not shown"
    assert verdict.share_of_test_set > 0.9
    assert verdict.advice[0].startswith("take more test examples: about ")
    assert verdict.advice[0].endswith("(there were 30); more seeds would change less")


def test_where_seeds_scatter_seeds_are_advised():
    chance = torch.Generator().manual_seed(1)
    control, student = cells(gain=0.3, shared=0.05, own=0.05)
    verdict = of_cells((control, student + torch.randn(5, 1, generator=chance)))
    assert verdict.word == "not shown"
    assert verdict.share_of_seeds > 0.9
    assert verdict.advice[0].startswith("run more seeds: about ")
    assert verdict.advice[0].endswith("(there were 5); more test examples would change less")


def test_where_neither_alone_would_do_it_says_so():
    chance = torch.Generator().manual_seed(1)
    scatter = torch.randn(5, 1, generator=chance)
    control, _ = cells(shared=0.0, own=0.0)
    effect = torch.randn(400, generator=chance) * 8 + 0.01 * torch.randn(5, 400, generator=chance)
    effect = effect - effect.mean() + (scatter - scatter.mean()) + 0.01
    (line,) = of_cells((control, control + effect)).advice
    assert "neither more seeds nor more test examples alone" in line


def test_more_as_advised_would_have_been_enough():
    verdict = of_cells(cells(count=30, shared=1.0, own=0.05, gain=0.25))
    needed = int(verdict.advice[0].split("about ")[1].split()[0].replace(",", ""))
    others = [
        cells(count=needed, shared=1.0, own=0.05, gain=0.25, seed=seed, exact=False) for seed in range(60)
    ]
    words = [of_cells(pair).word for pair in others]
    assert 0.65 < words.count("better") / 60 < 0.95


def test_copies_are_one_seed():
    verdict = of_cells(cells(gain=1.0), copies=True)
    assert (verdict.word, verdict.interval) == ("not shown", None)
    assert verdict.difference == pytest.approx(1, abs=0.1)
    assert "all seeds ended with equal weights" in verdict.why
    assert "give a function that builds the student" in verdict.advice[0]
    assert "smaller batches" in verdict.advice[0]
    control, student = cells(gain=1.0)
    alike = control[:1].repeat(5, 1), student[:1].repeat(5, 1)
    assert "agree exactly" in of_cells(alike).why


def test_looks_spend_what_is_left():
    verdict = of_cells(cells(gain=0.2), looks=3)
    assert verdict.level == pytest.approx(0.9875)
    assert verdict.interval == of_cells(cells(gain=0.2), level=0.9875).interval
    assert verdict.why.endswith("; look 3 at the test set)")
    with pytest.raises(ValueError, match="counted from 1; got 0"):
        of_cells(cells(), looks=0)


def test_groups_stand_for_their_examples():
    verdict = of_cells(cells(count=100), num_examples=54_000)
    assert verdict.examples == 54_000
    assert "54,000 test examples" in verdict.why


def test_other_names_are_named():
    verdict = judge("accuracy", [0.8, 0.81, 0.8], [0.9, 0.91, 0.92], of="peer0", against="peer0 alone")
    assert (verdict.of, verdict.against) == ("peer0", "peer0 alone")
    assert verdict.why.startswith("peer0: 10.7 points more accurate than peer0 alone, 95 %")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: one[:3], r"5 seeds .* got \[5, 400\] and \[3, 400\]"),
        (lambda one: one[:, :1], "two examples"),
        (lambda one: 100 * one, "whose mean is the metric were expected; of the student, at seed 0"),
        (lambda one: one * math.nan, "mean nan"),
    ],
)
def test_examples_that_do_not_belong_to_the_metric(change, message):
    pair = cells(gain=0.5)
    control, student = (each.double().mean(1).tolist() for each in pair)
    with pytest.raises(ValueError, match=message):
        judge("score", control, student, examples=(pair[0], change(pair[1])))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), gain=st.floats(-0.2, 0.2))
def test_word_and_p_value_say_the_same(seed, gain):
    verdict = of_cells(cells(seeds=3, count=20, gain=gain, seed=seed), level=0.9)
    assume(abs(verdict.p_value - 0.1) > 1e-6)
    assert (verdict.word != "not shown") == (verdict.p_value < 0.1)
