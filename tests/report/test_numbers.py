"""Numbers as a reader wants them."""

from __future__ import annotations

import pytest

from tutelage.report import numbers
from tutelage.report.rows import comparison


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("accuracy", 0.98326, "98.33 %"),
        ("balanced_accuracy", 1.0, "100.00 %"),
        ("accuracy", 74.2, "74.2"),
        ("errors", 88.3333, "88.3"),
        ("errors", 1234.6, "1,235"),
        ("nll", 0.04317, "0.0432"),
        ("disagreements", 0, "0"),
        ("mse", 6.53e-05, "6.53·10⁻⁵"),
        ("perplexity", 2.5e12, "2.5·10¹²"),
        ("accuracy", None, "—"),
        ("accuracy", float("nan"), "—"),
        ("accuracy", True, "—"),
    ],
)
def test_a_measure(metric, value, said):
    assert plain(numbers.measure(metric, value)) == said


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("accuracy", 0.0042, "+0.42 pp"),
        ("accuracy", -0.0031, "−0.31 pp"),
        ("errors", -13.333, "−13.3"),
        ("nll", 0, "0"),
    ],
)
def test_a_difference_is_signed(metric, value, said):
    assert plain(numbers.difference(metric, value)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (999, "999"),
        (999.7, "1 k"),
        (826_010, "826 k"),
        (23_952_100, "24 M"),
        (10**18, "1,000 P"),
        ("x", "—"),
    ],
)
def test_an_amount(value, said):
    assert plain(numbers.amount(value)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0.4 s"),
        (59.96, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (7384, "2 h 3 min"),
        (None, "—"),
    ],
)
def test_a_duration(seconds, said):
    assert plain(numbers.duration(seconds)) == said


@pytest.mark.parametrize(
    ("teacher", "student", "said"),
    [
        (29, 1, "29× smaller"),
        (2, 2, "the same"),
        (1, 3.1, "3.1× larger"),
        (1, 1.01, "about the same"),
        (0, 1, "—"),
        (None, 1, "—"),
    ],
)
def test_a_ratio(teacher, student, said):
    assert numbers.ratio(teacher, student, ("smaller", "larger")) == said


@pytest.mark.parametrize(
    ("metric", "lower"), [("errors", True), ("ece", True), ("accuracy", False), ("precision", False)]
)
def test_which_way_is_better(metric, lower):
    assert numbers.lower_is_better(metric) is lower


def test_a_row_where_nobody_has_a_number_is_left_out(results):
    assert "Energy an example" not in {row.label for row in comparison(results)}
    results["outcomes"]["student"]["cost"]["energy_joules"] = 12.5
    energy = next(row for row in comparison(results) if row.group == "Energy")
    assert [plain(cell.text) for cell in energy.cells] == ["—", "—", "—", "12.5 J", "—"]
    assert energy.against == "—"


def test_a_bound_is_read_in_the_unit_of_its_difference():
    assert numbers.difference("accuracy", -1.045, beside=-0.034) == "−104.50\u00a0pp"
    assert numbers.difference("errors", 0.5, beside=3.0) == "+0.5"


@pytest.mark.parametrize(
    ("metric", "seeds", "said"),
    [
        ("accuracy", [0.9, 0.92], "± 1.41"),
        ("errors", [1000.0, 1300.0], "± 212"),
        ("nll", [0.0201, 0.0211], "± 0.0007"),
        ("nll", [10.0, 10.001], "± 0.0007"),
        ("nll", [0.5], ""),
        ("errors", [10, 10, 10], ""),
    ],
)
def test_a_spread_has_the_decimals_of_its_mean(metric, seeds, said):
    assert plain(numbers.spread(metric, {"per_seed": seeds})) == said


def test_the_primary_outcome_stands_beside_its_control(results):
    rows = {row.label: row for row in comparison(results)}
    assert plain(rows["Accuracy"].control) == "+0.42 pp"
    assert plain(rows["Accuracy"].against) == "−0.21 pp"
    assert rows["Parameters"].control == "the same"
    assert rows["Training time"].control == "1.4× longer"


def test_one_is_no_plural():
    assert [numbers.counted(found, "file") for found in (0, 1, 2, 1200)] == [
        "0 files",
        "1 file",
        "2 files",
        "1,200 files",
    ]
