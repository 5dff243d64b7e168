"""The comparison on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tutelage.report import numbers, roles, verdicts
from tutelage.report.notes import notes
from tutelage.report.page import REPORT_NAME
from tutelage.report.rows import Cell, comparison
from tutelage.report.upgrade import upgraded

__all__ = ["STYLES", "plain", "summary", "table"]

STYLES = {"better": "bold green", "worse": "bold red"}
"""How the words of verdicts look."""

_MOST_COLUMNS = 4
"""What a terminal of 80 columns has room for; of more it shows those that the verdict rests on."""


def table(results: Mapping[str, Any]) -> Table:
    """The teacher and the outcomes side by side; the last column sets the primary one against the teacher.

    Args:
        results: what a run measured, as `tutelage run --json` prints it; of this format or an earlier one.

    Raises:
        OutputError: results of a format that is not known.
    """
    results = upgraded(results)
    columns, shown = list(roles.entries(results)), _shown(results)
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("", overflow="fold")
    for name in shown:
        grid.add_column(Text(plain(name)), justify="right", overflow="fold")
    if roles.TEACHER in shown:
        grid.add_column(Text(plain(f"{roles.primary(results)} vs teacher")), justify="right")
    group = ""
    for row in comparison(results):
        if group and row.group != group:
            grid.add_row()
        group = row.group
        cells = [_cell(row.cells[columns.index(name)]) for name in shown]
        last = [Text(row.against, style="dim")] if roles.TEACHER in shown else []
        grid.add_row(_cell(Cell(row.label, row.note)), *cells, *last)
    return grid


def summary(results: Mapping[str, Any]) -> RenderableType:
    """The table, what makes it doubtful, the verdicts in colour, and where the report lies.

    Args:
        results: what a run measured, as `tutelage run --json` prints it; of this format or an earlier one.

    Raises:
        OutputError: results of a format that is not known.
    """
    results = upgraded(results)
    parts: list[RenderableType] = [table(results), *_left_out(results), Text()]
    warnings, sanity = (notes(results.get(part)) for part in ("warnings", "sanity"))
    parts += [Text(f"Warning: {plain(said)}", style="yellow") for said in warnings]
    parts += [Text(f"Read this first: {plain(said)}", style="bold red") for said in sanity]
    verdict = verdicts.said(numbers.mapping(results.get("verdict")))
    if verdict:
        parts.append(_verdict(verdict))
        parts += [Text(f"  Try: {plain(said)}") for said in verdict["advice"]]
    parts += [_further(each) for each in verdicts.further(results)]
    if results.get("out"):
        parts.append(Text(f"Report: {plain(Path(str(results['out'])) / REPORT_NAME)}", overflow="fold"))
    return Group(*parts)


def _shown(results: Mapping[str, Any]) -> list[str]:
    columns = list(roles.entries(results))
    return columns if len(columns) <= _MOST_COLUMNS else roles.main(results)


def _left_out(results: Mapping[str, Any]) -> Iterator[Text]:
    shown = _shown(results)
    if rest := [plain(name) for name in roles.entries(results) if name not in shown]:
        yield Text(f"In the report, beside these: {', '.join(rest)}", style="dim")


def _cell(cell: Cell) -> Text:
    text, note = Text(plain(cell.text)), plain(cell.note).replace(", ", "\n")
    return text.append(f"\n{note}", style="dim") if note else text


def _verdict(said: Mapping[str, Any]) -> Text:
    line = Text(f"Verdict: {plain(said['word'])}", style=STYLES.get(said["word"], "bold yellow"))
    line.append(_figures(said))
    pair, why = (
        _pair(said),
        plain(said["why"]),
    )  # the sentence says how sure that is, and whose the credit is
    rest = (f", {pair}" if pair else "") + (f". {why}" if why else "")
    return line.append(rest, style="not bold default")


def _further(said: Mapping[str, Any]) -> Text:
    line = Text(f"  {_pair(said)}: ")
    line.append(plain(said["word"]), style=STYLES.get(said["word"], "bold yellow"))
    return line.append(_figures(said))


def _pair(said: Mapping[str, Any]) -> str:
    return plain(" against ".join(filter(None, (said["of"], said["against"]))))


def _figures(said: Mapping[str, Any]) -> str:
    if said["difference"] is None:
        return ""
    bounds = f" [{', '.join(said['interval'])}]" if said["interval"] else ""
    return f", {plain(said['metric'])} {said['difference']}{bounds}"


def plain(value: object) -> str:
    """Text that cannot move the cursor or recolour the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\u00a0" else " " for letter in str(value))
