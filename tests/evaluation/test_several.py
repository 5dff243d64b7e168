import pytest
import torch

from tutelage.evaluation import compare, credited, holm, judge


def comparison(gain, seed=0, of="student", seeds=5, **options):
    """A gain beside a luck of about 0.1 on five seeds and 100 examples."""
    chance = torch.Generator().manual_seed(seed)
    control = torch.randn(seeds, 100, generator=chance, dtype=torch.float64)
    luck = torch.randn(100, generator=chance) + torch.randn(seeds, 100, generator=chance)
    student = control + luck - luck.mean() + gain
    pair = control, student
    return compare("score", *(each.mean(1).tolist() for each in pair), examples=pair, of=of, **options)


def with_p(wanted, **options):
    """A comparison whose p-value is about this one."""
    low, high = 0.0, 3.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if comparison(middle, **options).p_value > wanted else (low, middle)
    return comparison(high, **options)


def test_by_hand():
    # a family of four at 5 %: 0.01 < 0.05/4, 0.014 < 0.05/3, 0.03 > 0.05/2 stops, 0.04 follows at 0.05/2
    values = [0.03, 0.01, 0.04, 0.014]
    verdicts = holm([with_p(value, seed=seed) for seed, value in enumerate(values)], primary=None)
    assert [verdict.word for verdict in verdicts] == ["not shown", "better", "not shown", "better"]
    assert [1 - verdict.level for verdict in verdicts] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])
    assert [verdict.p_value for verdict in verdicts] == pytest.approx(values, rel=1e-3)
    for verdict in verdicts:
        low, high = verdict.interval
        assert (low <= 0 <= high) == (verdict.word == "not shown")
        assert "; one of 4 comparisons)" in verdict.why


def test_the_primary_keeps_its_level():
    held = [with_p(0.03, of="placebo"), with_p(0.03, of="student"), with_p(0.03, of="peer")]
    other, primary, peer = holm(held, primary=1)
    assert (primary.word, primary.level) == ("better", 0.95)
    assert "comparisons" not in primary.why
    assert primary == held[1].verdict()
    assert (other.word, peer.word) == ("not shown", "not shown")
    assert other.level == pytest.approx(0.975)
    assert [verdict.of for verdict in (other, primary, peer)] == ["placebo", "student", "peer"]


def test_one_beside_the_primary_is_a_family_of_one():
    primary, other = holm([with_p(0.2), with_p(0.04)])
    assert (primary.word, other.word, other.level) == ("not shown", "better", 0.95)
    assert "comparisons" not in other.why


def test_what_cannot_be_judged_comes_last():
    verdicts = holm([comparison(2.0, seeds=2), with_p(0.001), comparison(2.0, copies=True)], primary=None)
    assert [verdict.word for verdict in verdicts] == ["not shown", "better", "not shown"]
    assert verdicts[1].level == pytest.approx(1 - 0.05 / 3)


def test_looks_and_a_level_of_the_family():
    verdicts = holm([comparison(0.5, looks=2), comparison(0.5, looks=2)], primary=None, level=0.9)
    assert {round(1 - verdict.level, 9) for verdict in verdicts} == {0.025, 0.05}


@pytest.mark.slow
def test_all_nulls_get_a_wrong_word_seldom():
    chance = torch.Generator().manual_seed(7)
    wrong = 0
    for _ in range(200):
        family = []
        for _ in range(5):
            control = torch.randn(4, 30, generator=chance)
            student = control + torch.randn(30, generator=chance) + torch.randn(4, 30, generator=chance)
            means = [each.double().mean(1).tolist() for each in (control, student)]
            family.append(compare("score", *means, examples=(control, student)))
        wrong += any(verdict.word != "not shown" for verdict in holm(family, primary=None))
    assert wrong / 200 < 0.09


@pytest.mark.parametrize("primary", [-1, 1])
def test_a_primary_that_is_not_there(primary):
    with pytest.raises(ValueError, match="among 1 comparisons"):
        holm([comparison(1.0)], primary=primary)


def test_nothing_to_compare():
    assert holm([], primary=None) == []
    with pytest.raises(ValueError, match="confidence level"):
        holm([comparison(1.0)], level=95)


def test_credit():
    better = judge("accuracy", [0.8, 0.81, 0.8], [0.9, 0.91, 0.92])
    nothing = judge("accuracy", [0.8, 0.81, 0.8], [0.8, 0.8, 0.81], against="placebo")
    assert better.credit is None
    assert credited(better, better).credit == "the teacher"
    assert credited(better, nothing).credit == "the recipe"
    assert credited(better, nothing).why.endswith(
        "not shown to be better than a placebo, so the credit is the recipe's"
    )
    assert credited(nothing, better) is nothing
