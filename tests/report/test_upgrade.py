"""Results of earlier formats, and of formats that nobody knows yet."""

from __future__ import annotations

import copy
import json

import pytest

from tutelage.errors import OutputError
from tutelage.report import render, summary
from tutelage.report.rows import arms, comparison
from tutelage.report.upgrade import upgraded


def test_format_two_stays_as_it_is(results):
    assert upgraded(results) == results


def test_the_arms_of_before_become_outcomes(sample):
    old = sample.old()
    before = copy.deepcopy(old)
    new = upgraded(old)
    assert old == before
    assert list(new["outcomes"]) == ["control", "student", "student, 8 bit"]
    assert [each["against"] for each in new["outcomes"].values()] == [None, "control", "control"]
    assert new["outcomes"]["student"]["quality"] == old["student"]["quality"]
    assert new["primary"] == "student"
    assert [(each["of"], each["against"]) for each in new["verdicts"]] == [
        ("student", "control"),
        ("student, 8 bit", "control"),
    ]
    assert new["verdict"] == new["verdicts"][0]
    assert new["verdict"]["seeds"] == 3
    assert new["verdict"]["smallest_effect"] is None
    assert "also" not in new
    json.dumps(new)


def test_what_is_upgraded_has_the_keys_of_what_is_written(sample):
    new, today = upgraded(sample.old()), sample.results()
    assert set(new) == set(today)
    assert set(new["verdict"]) == set(today["verdict"])
    assert set(new["outcomes"]["student"]) == set(today["outcomes"]["student"])
    assert upgraded(new) == new


def test_the_numbers_of_before_stand_in_the_same_rows(sample):
    old, today = sample.old(), sample.results()
    del today["outcomes"]["placebo"]
    pairs = list(zip(comparison(old), comparison(today), strict=True))
    assert all((before.label, before.cells) == (now.label, now.cells) for before, now in pairs)


def test_a_run_of_before_without_a_control(sample):
    new = upgraded(sample.old() | {"control": None})
    assert list(new["outcomes"]) == ["student", "student, 8 bit"]
    assert {each["against"] for each in (*new["outcomes"].values(), *new["verdicts"])} == {None}


def test_no_column_takes_the_name_of_another(sample, results):
    extra = {"quality": {"accuracy": 0.1}}
    assert "student (also)" in arms(sample.old() | {"also": {"student": extra}})
    results["outcomes"]["teacher"] = extra
    names = list(arms(results))
    assert (names[0], names[-1]) == ("teacher", "teacher (outcome)")


@pytest.mark.parametrize("came", [3, "2", 2.5])
@pytest.mark.parametrize("read", [summary, lambda found: render(found, {})])
def test_a_format_that_is_not_known_is_refused_in_words(results, came, read):
    with pytest.raises(
        OutputError, match=rf"format {came!r} came; formats 1 and 2 are known: update tutelage"
    ):
        read(results | {"format": came})
