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
    for said in ("teacher", "control", "student", "Accuracy", "99.05", "29×", "5.9×", "3.1×"):
        assert said in text
    assert "…" not in text


@pytest.mark.parametrize(("word", "colour"), [("better", "32"), ("worse", "31"), ("not shown", "33")])
def test_the_verdict_is_coloured_and_the_report_named(sample, word, colour):
    text = shown(summary(sample.results(word)), 120, colour=True)
    assert f"\x1b[1;{colour}mVerdict: {word}, accuracy" in text
    assert "Report: runs/mnist_hinton/report.html" in text
    assert "Warning: Latency was measured" in text
    assert ("Try: Lower the temperature" in text) == (word == "worse")


@pytest.mark.parametrize("width", [80, 120])
def test_little_known_is_little_said(sample, width):
    text = shown(summary(sample.minimal()), width)
    assert "Accuracy" in text
    assert "—" in text
    assert "Latency" not in text
    assert "not shown. No control was run." in text


def test_nothing_known_is_no_crash():
    assert "teacher" in shown(summary({}), 80)


def test_names_are_text_and_never_markup(results):
    results["also"] = {"[red]x[/red]": results["student"], "\x1b[31mred": results["student"]}
    results["verdict"]["why"] = "[/bold] it \x1b[2J is"
    text = shown(summary(results), 120)
    assert "[red]x[/red]" in text
    assert "[/bold] it" in text
    assert "\x1b" not in text


def test_what_is_quality_is_not_calibration_too():
    arm = {"quality": {"nll": {"mean": 5.0}}, "calibration": {"nll": {"mean": 5.0}, "ece": {"mean": 0.02}}}
    rows = comparison({"student": arm})
    assert [(row.group, row.label) for row in rows] == [
        ("Quality", "Log loss (NLL)"),
        ("Calibration", "Calibration error (ECE)"),
    ]
