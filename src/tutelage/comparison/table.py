"""A comparison on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tutelage.comparison.rows import CHARGE, cost_lines, headline, network_rows, pair_lines
from tutelage.report import numbers
from tutelage.report.numbers import DASH
from tutelage.report.table import STYLES, plain

__all__ = ["summary"]

_MOST_SETTINGS = 3
"""What a terminal has room for; the page shows all of them."""


def summary(results: Mapping[str, Any]) -> RenderableType:
    """Networks, differences and training costs, after what makes them doubtful.

    Args:
        results: of a comparison.
    """
    parts: list[RenderableType] = [Text(plain(headline(results)), style="bold"), Text()]
    parts += [Text(f"Warning: {plain(said)}", style="yellow") for said in results["warnings"]]
    parts += [Text()] if results["warnings"] else []
    parts += [_networks(results), *_left_out(results), Text(), _pairs(results), *_notes(results), Text()]
    return Group(*parts, _costs(results), Text(CHARGE, style="dim"))


def _networks(results: Mapping[str, Any]) -> Table:
    shown = results["settings"][:_MOST_SETTINGS]
    metric = numbers.label(results["metric"])
    heads = ["", *(each["label"] for each in shown), "seeds", metric, "parameters", "weights", "latency"]
    grid = _grid(heads)
    for row in network_rows(results):
        if row["role"] == "other":
            continue
        quality = f"{row['quality']} {row['spread']}".strip()
        cells = [*row["settings"][: len(shown)], row["seeds"], quality]
        cells += [row[name] for name in ("parameters", "bytes", "latency")]
        cells[-1] += " (not stable)" if row["unstable"] else ""
        style = "" if row["role"] in ("primary", "measure") else "dim"
        grid.add_row(*(Text(plain(each)) for each in [row["name"], *cells]), style=style)
    return grid


def _left_out(results: Mapping[str, Any]) -> Iterator[Text]:
    rest = [plain(each["label"]) for each in results["settings"][_MOST_SETTINGS:]]
    if rest:
        yield Text(f"On the page, beside these settings: {', '.join(rest)}", style="dim")
    others = [plain(row["name"]) for row in network_rows(results) if row["role"] == "other"]
    if others:
        yield Text(f"On the page, beside these: {', '.join(others)}", style="dim")


def _pairs(results: Mapping[str, Any]) -> Table:
    grid = _grid(["", "against", "verdict", "difference", "interval", "smallest effect", "flipped"], left=3)
    for line in pair_lines(results):
        said = line["said"]
        if said is None:
            word, figures = Text("not compared", style="bold yellow"), [DASH, DASH, DASH]
        else:
            word = Text(said["word"], style=STYLES.get(said["word"], "bold yellow"))
            bounds = " to ".join(said["interval"]) if said["interval"] else DASH
            figures = [said["difference"] or DASH, bounds, said["smallest"] or DASH]
        rest = (Text(plain(each)) for each in [*figures, line["flip_text"]])
        grid.add_row(Text(plain(line["of"])), Text(plain(line["against"])), word, *rest)
    return grid


def _notes(results: Mapping[str, Any]) -> Iterator[Text]:
    for line in pair_lines(results):
        if line["obstacle"]:
            yield Text(f"  {plain(line['of'])} and {plain(line['against'])}: {plain(line['obstacle'])}")
    if any(line["said"] for line in pair_lines(results)):
        level = f"{100 * results['level']:g}{numbers.GAP}%"
        yield Text(
            "Several comparisons are made here at once, so that each interval is wider than by itself "
            f"(Holm): {level} holds for all against {plain(results['reference'])} together, and for all "
            "against controls together. A run's own page has the interval of its one. Flipped: examples "
            "that only the first gets right, and only the second.",
            style="dim",
        )


def _costs(results: Mapping[str, Any]) -> Table:
    grid = _grid(["training", "its own", "teacher's share", "together", "control", "break-even charge"])
    for line in cost_lines(results):
        names = ("run", "own", "teacher", "whole", "control", "break_even")
        grid.add_row(*(Text(plain(line[name])) for name in names))
    return grid


def _grid(heads: list[str], left: int = 1) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        grid.add_column(Text(plain(head)), justify="left" if place < left else "right", overflow="fold")
    return grid
