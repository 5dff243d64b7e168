"""One self-contained HTML page of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tutelage.comparison.pareto import pareto
from tutelage.comparison.rows import CHARGE, colours, cost_lines, headline, network_rows, pair_lines
from tutelage.report import numbers
from tutelage.report.numbers import DASH, mapping, number, sequence
from tutelage.report.page import page_template

__all__ = ["render"]

_TEMPLATE = Path(__file__).parent / "page.html"
_IDS = 200
"""Ids of flipped examples that the page lists; the JSON has all."""


def render(results: Mapping[str, Any]) -> str:
    """The whole page as a string.

    Args:
        results: of a comparison.
    """
    metric = results["metric"]
    pairs = pair_lines(results)
    across, own = ([each for each in pairs if each["inside"] is inside] for inside in (False, True))
    rows = [
        row | {"colour": colour} for row, colour in zip(network_rows(results), colours(results), strict=True)
    ]
    columns = [(key, head) for key, head in _COLUMNS.items() if _tells(key, rows)]
    return page_template(_TEMPLATE).render(
        headline=headline(results),
        metric=numbers.label(metric),
        metric_in_text=numbers.in_text(metric),
        fewer_is_better=not results["higher_is_better"],
        level=f"{100 * results['level']:g}{numbers.GAP}%",
        reference=results["reference"],
        runs=_runs(results),
        count=len(results["runs"]),
        warnings=results["warnings"],
        settings=results["settings"],
        rows=rows,
        columns=columns,
        across=_on_one_line(across),
        own=_on_one_line(own),
        costs=cost_lines(results),
        charge=CHARGE,
        flips=[_flips(each) for each in across if each["flips"]],
        dot={row["name"]: row["colour"] for row in rows},
        **_plot(results),
    )


def _tells(key: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a column has something to say; of steps, whether those one chooses between differ in them."""
    chosen = {row[key] for row in rows if row["role"] in ("primary", "measure")} - {"", DASH}
    return len(chosen) > 1 if key == "steps" else bool(chosen)


def _plot(results: Mapping[str, Any]) -> dict[str, Any]:
    drawn = pareto(results)
    if drawn is None:
        return {"plot": None, "axis": "", "best": ""}
    chart, axis, best = drawn
    markup = Markup(chart)  # noqa: S704 - its text was escaped when its tree was written
    return {"plot": markup, "axis": axis.name, "best": ", ".join(spot.text for spot in best)}


def _on_one_line(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pairs with a bar each, all on one scale, so that their intervals can be compared by eye."""
    reach = max((found for each in pairs if (found := _reach(each["verdict"]))), default=1.0)
    return [each | {"bar": _bar(each["verdict"], reach)} for each in pairs]


def _reach(verdict: Mapping[str, Any]) -> float:
    values = [number(verdict.get("difference")), *map(number, sequence(verdict.get("interval")))]
    return 1.05 * max((abs(value) for value in values if value is not None), default=0.0)


def _bar(verdict: Mapping[str, Any], reach: float) -> dict[str, float | None] | None:
    apart = number(verdict.get("difference"))
    if apart is None:
        return None
    low, high = (round(50 + 50 * value / reach, 2) for value in verdict.get("interval") or (apart, apart))
    known = verdict.get("interval") is not None
    return {
        "point": round(50 + 50 * apart / reach, 2),
        "low": low if known else None,
        "width": round(high - low, 2) if known else None,
    }


def _flips(pair: Mapping[str, Any]) -> dict[str, Any]:
    held = pair["flips"]
    found = {"of": pair["of"], "against": pair["against"]}
    for way in ("right", "wrong"):
        ids = [str(one) for one in held[way]]
        found[way] = {"count": len(ids), "ids": ", ".join(ids[:_IDS]), "more": max(0, len(ids) - _IDS)}
    return found | {name: f"{held[name]:,}" for name in ("both", "neither", "undecided")}


def _runs(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for label, held in results["runs"].items():
        machine = mapping(held["machine"])
        parts = [machine.get("processor"), machine.get("accelerator")]
        told = [str(part) for part in parts if part]
        told += [numbers.counted(machine["threads"], "thread")] if machine.get("threads") else []
        versions = [f"{name} {value}" for name, value in mapping(held["versions"]).items()]
        data = [
            f"{name}: {numbers.counted(part['examples'], 'example')} ({str(part.get('sha256'))[:12]})"
            for name, part in mapping(held["data"]).items()
            if mapping(part).get("examples") is not None
        ]
        lines = {
            "recipe": held["recipe"],
            "folders": ", ".join(held["folders"]),
            "seeds": ", ".join(map(str, held["seeds"])),
            "machine": ", ".join(told),
            "versions": ", ".join(versions),
            "data": "; ".join(data),
        }
        found.append({"label": label, "lines": [(name, text) for name, text in lines.items() if text]})
    return found


_COLUMNS = {
    "parameters": "parameters",
    "bytes": "weights",
    "latency": "latency",
    "steps": "steps",
}
