"""The terminal's table and summary, on consoles of two widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tutelage.report.rows import comparison
from tutelage.report.table import summary, table


def shown(what, width, *, colour=False) -> str:
    stream = io.StringIO()
    Console(
        file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None
    ).print(what)
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_everything(results, width):
    text = shown(table(results), width)
    assert max(map(len, text.splitlines())) <= width
    for said in (
        "teacher",
        "control",
        "placebo",
        "student",
        "Accuracy",
        "Parameters",
        "99.05",
        "29×",
        "5.9×",
        "3.1×",
    ):
        assert said in text
    assert "…" not in text


@pytest.mark.parametrize(("word", "colour"), [("better", "32"), ("worse", "31"), ("not shown", "33")])
def test_the_verdict_is_coloured_and_the_report_named(sample, word, colour):
    text = shown(summary(sample.results(word)), 120, colour=True)
    assert f"\x1b[1;{colour}mVerdict: {word}, accuracy" in text
    assert "Report: runs/mnist_hinton/report.html" in text
    assert "Warning: Latency was measured" in text
    assert ("Try: Lower the temperature" in text) == (word == "worse")
    assert ("the credit is the teacher's" in text) == (word == "better")
    plain = " ".join(shown(summary(sample.results(word)), 120).split())
    assert "pp], student against control. 0." in plain
    assert ("smallest effect that this run could have shown" in plain) == (word == "not shown")


@pytest.mark.parametrize("width", [80, 120])
def test_little_known_is_little_said(sample, width):
    text = shown(summary(sample.minimal()), width)
    assert "Accuracy" in text
    assert "teacher" not in text
    assert "Latency" not in text
    assert "not shown, student. No control was run." in text


def test_nothing_known_is_no_crash():
    assert shown(summary({}), 80).strip() == ""


@pytest.mark.parametrize("width", [80, 120])
def test_many_columns_become_those_that_the_verdict_rests_on(sample, width):
    found = sample.exits()
    text = shown(summary(found), width)
    assert text.split()[:6] == ["teacher", "exit4", "alone", "exit4", "exit4", "vs"]
    assert max(map(len, text.splitlines())) <= width
    assert "beside these: exit3 alone, exit3," in text
    assert "  exit3 against exit3 alone: better, accuracy +0.42\u00a0pp" in text
    assert "  exit1 against exit1 alone: worse, accuracy −0.31\u00a0pp" in text
    assert text.count("exit4 against exit4") == 1


def test_a_run_without_a_teacher_has_no_column_beside_it(sample):
    text = shown(summary(sample.peers()), 80)
    assert text.split()[:6] == ["peer0", "alone", "peer0", "peer1", "alone", "peer1"]
    assert "teacher" not in text
    assert "peer1 against peer1 alone: not shown" in text


def test_sanity_stands_before_the_verdict_and_failed_seeds_in_the_table(sample):
    text = shown(summary(sample.failed()), 120)
    assert "2 of 5 seeds failed" in text.replace("\n", " ")
    assert text.index("Read this first: The student trained alone") < text.index("Verdict: not shown")


def test_results_of_before_give_the_table_that_they_gave(sample):
    text = shown(summary(sample.old()), 120)
    assert text.split()[:3] == ["teacher", "control", "student"]
    assert "29× smaller" in text
    assert "student, 8 bit against control: not shown" in text


def test_names_are_text_and_never_markup(results):
    entry = results["outcomes"]["student"]
    results["outcomes"] = {"[red]x[/red]": entry, "student": entry, "\x1b[31mred": entry}
    results["verdict"]["why"] = "[/bold] it \x1b[2J is"
    text = shown(summary(results), 120)
    assert "[red]x[/red]" in text
    assert "[/bold] it" in text
    assert "\x1b" not in text


def test_what_is_quality_is_not_calibration_too():
    arm = {"quality": {"nll": {"mean": 5.0}}, "calibration": {"nll": {"mean": 5.0}, "ece": {"mean": 0.02}}}
    rows = comparison({"format": 2, "outcomes": {"student": arm}})
    assert [(row.group, row.label) for row in rows] == [
        ("Quality", "Log loss (NLL)"),
        ("Calibration", "Calibration error (ECE)"),
    ]
