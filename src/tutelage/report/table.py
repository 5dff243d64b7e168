"""The comparison on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tutelage.report import numbers
from tutelage.report.page import REPORT_NAME
from tutelage.report.rows import Cell, arms, comparison

__all__ = ["summary", "table"]

_STYLES = {"better": "bold green", "worse": "bold red"}


def table(results: Mapping[str, Any]) -> Table:
    """Teacher, control, student and further arms side by side; the last column sets student against teacher.

    Args:
        results: what a run measured, as `tutelage run --json` prints it.
    """
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("", no_wrap=False)
    for name in arms(results):
        grid.add_column(Text(_plain(name)), justify="right", overflow="fold")
    grid.add_column(Text("student vs teacher"), justify="right")
    group = ""
    for row in comparison(results):
        if group and row.group != group:
            grid.add_row()
        group = row.group
        grid.add_row(Text(_plain(row.label)), *map(_cell, row.cells), Text(row.against, style="dim"))
    return grid


def summary(results: Mapping[str, Any]) -> RenderableType:
    """The table, the warnings, the verdict in colour, and where the report lies.

    Args:
        results: what a run measured, as `tutelage run --json` prints it.
    """
    parts: list[RenderableType] = [table(results), Text()]
    warnings = numbers.sequence(results.get("warnings"))
    parts += [Text(f"Warning: {_plain(said)}", style="yellow") for said in warnings]
    verdict = numbers.mapping(results.get("verdict"))
    if verdict.get("word"):
        parts.append(_verdict(verdict))
        parts += [Text(f"  Try: {_plain(said)}") for said in numbers.sequence(verdict.get("advice"))]
    if results.get("out"):
        parts.append(Text(f"Report: {_plain(Path(str(results['out'])) / REPORT_NAME)}", overflow="fold"))
    return Group(*parts)


def _cell(cell: Cell) -> Text:
    text = Text(_plain(cell.text))
    return text.append(f"\n{_plain(cell.note)}", style="dim") if cell.note else text


def _verdict(verdict: Mapping[str, Any]) -> Text:
    word, metric = str(verdict["word"]), str(verdict.get("metric") or "")
    line = Text(f"Verdict: {_plain(word)}", style=_STYLES.get(word, "bold yellow"))
    if numbers.number(verdict.get("difference")) is not None:
        line.append(f", {numbers.in_text(metric)} {numbers.difference(metric, verdict['difference'])}")
        bounds = numbers.sequence(verdict.get("interval"))
        if len(bounds) == 2:
            low, high = (numbers.difference(metric, bound, beside=verdict["difference"]) for bound in bounds)
            line.append(f" [{low}, {high}]")
    if verdict.get("why"):
        line.append(f". {_plain(verdict['why'])}", style="not bold default")
    return line


def _plain(value: object) -> str:
    """Text that cannot move the cursor or recolour the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else " " for letter in str(value))
