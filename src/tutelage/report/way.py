"""The way of a student as a table and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tutelage.report import numbers
from tutelage.report.numbers import DASH, mapping, mean, number, sequence
from tutelage.report.svg import COLOURS, HALF, clean, draw, frame, legend

__all__ = ["way"]

_LETTERS = 18


def way(results: Mapping[str, Any]) -> dict[str, Any]:
    """The table and the pictures, by their names in the template; empty where no network was changed.

    Args:
        results: what a run measured, of format 2.
    """
    stops = [mapping(each) for each in sequence(results.get("way"))]
    metric = str(mapping(results.get("verdict")).get("metric") or "")
    return {
        "way": [_row(each, metric) for each in stops],
        "way_metric": numbers.in_text(metric) if metric else "",
        "way_charts": _charts(stops, metric),
        "way_batches": list(_batches(stops)),
        "way_notes": [note for each in stops for note in _notes(each, metric)],
    }


def _row(stop: Mapping[str, Any], metric: str) -> dict[str, Any]:
    cost = mapping(stop.get("cost"))
    quality = mapping(stop.get("quality")).get(metric)
    return {
        "name": str(stop.get("name") or DASH),
        "quality": numbers.measure(metric, mean(quality)),
        "spread": numbers.spread(metric, quality),
        "difference": numbers.difference(metric, stop.get("difference")),
        "interval": _interval(stop, metric),
        "parameters": numbers.amount(cost.get("parameters")),
        "bytes": numbers.size(cost.get("bytes")),
        "flops": numbers.amount(cost.get("flops")),
        "memory": numbers.size(cost.get("peak_memory_bytes")),
        "latency": {batch: _latency(held) for batch, held in mapping(cost.get("latency_ms")).items()},
    }


def _interval(stop: Mapping[str, Any], metric: str) -> str:
    bounds = sequence(stop.get("interval"))
    said = [numbers.difference(metric, each, beside=stop.get("difference")) for each in bounds]
    return " to ".join(said) if len(said) == 2 else ""


def _latency(time: Any) -> tuple[str, str]:
    held = mapping(time)
    if number(held.get("p50")) is None:
        return DASH, ""
    slow = [
        f"{name} {numbers.measure('latency', held.get(name))}" for name in ("p95", "p99") if held.get(name)
    ]
    return f"{numbers.measure('latency', held['p50'])} ms", ", ".join(slow)


def _batches(stops: Sequence[Mapping[str, Any]]) -> list[str]:
    found = dict.fromkeys(
        batch for each in stops for batch in mapping(mapping(each.get("cost")).get("latency_ms"))
    )
    return sorted(found, key=lambda batch: (len(str(batch)), str(batch)))


def _notes(stop: Mapping[str, Any], metric: str) -> list[str]:
    """What the run named while it changed the network."""
    found, name = [], stop.get("name")
    slower = mapping(stop.get("slower"))
    if stop.get("undone"):
        found.append(f"{name} was undone: {stop['undone']}.")
    elif slower:
        times = ", ".join(f"{ratio:.2g} times at batch {batch}" for batch, ratio in slower.items())
        lacking = f", on a processor without {stop['lacking']} for INT8" if stop.get("lacking") else ""
        found.append(f"{name} made the network slower: {times}{lacking}.")
    held = mapping(stop.get("metric"))
    if held and not stop.get("undone"):
        was, now = (numbers.measure(metric, held.get(when)) for when in ("before", "after"))
        found.append(f"{name}: {numbers.in_text(metric)} {was} before and {now} after, on validation.")
    return found


def _charts(stops: Sequence[Mapping[str, Any]], metric: str) -> list[Markup]:
    """Quality stop by stop, and what each costs as a share of the first; stops go by their numbers."""
    if len(stops) < 2:
        return []
    names = [clean(str(each.get("name") or DASH).split(" ")[0], _LETTERS) for each in stops]
    qualities = [mean(mapping(each.get("quality")).get(metric)) for each in stops]
    found = []
    if any(each is not None for each in qualities):
        title = f"{numbers.label(metric)} after each stage"
        found.append(draw("way", title, lambda axes: _quality(axes, names, qualities, metric), inches=HALF))
    costs = {name: [each(stop) for stop in stops] for name, each in _COSTS.items()}
    shares = {name: _shares(held) for name, held in costs.items() if held[0] and any(held[1:])}
    if shares:
        title = "Size, arithmetic and latency after each stage, as a share of what they were"
        found.append(draw("way-costs", title, lambda axes: _costs(axes, names, shares), inches=HALF))
    return [Markup(each) for each in found]  # noqa: S704 - drawn here, names are cleaned


def _quality(axes: Any, names: Sequence[str], values: Sequence[float | None], metric: str) -> None:
    held = [math.nan if value is None else value for value in values]
    axes.plot(range(len(names)), held, color=COLOURS["primary"], marker="o", markersize=5)
    axes.set_xticks(range(len(names)), names)
    axes.margins(y=0.15)
    frame(axes, "stage", numbers.in_text(metric), metric)


def _costs(axes: Any, names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_yscale("log")
    for name, colour, style in zip(shares, ("primary", "also-1", "against"), ("-", "--", ":"), strict=False):
        axes.plot(range(len(names)), shares[name], style, color=COLOURS[colour], marker="o", label=name)
    axes.set_xticks(range(len(names)), names)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g} ×"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    frame(axes, "stage", "share of the first")
    legend(axes)


def _shares(values: Sequence[float | None]) -> list[float]:
    """Each as a share of the first, which is known."""
    first = values[0] or math.nan
    return [value / first if value else math.nan for value in values]


def _cost(name: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda stop: number(mapping(stop.get("cost")).get(name))


def _single(stop: Mapping[str, Any]) -> float | None:
    times = mapping(mapping(stop.get("cost")).get("latency_ms"))
    return number(mapping(times.get("1")).get("p50"))


_COSTS: Mapping[str, Callable[[Mapping[str, Any]], float | None]] = {
    "weights": _cost("bytes"),
    "FLOPs": _cost("flops"),
    "latency, batch 1": _single,
}
"""What a stop costs, by how a chart calls it."""
