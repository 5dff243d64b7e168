"""The way of a student as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tutelage.report import numbers
from tutelage.report.numbers import DASH, mapping, mean, number, sequence
from tutelage.report.svg import COLOURS, HALF, clean, draw, frame

__all__ = ["way"]

_LETTERS = 18


def way(results: Mapping[str, Any]) -> dict[str, Any]:
    """The table and the picture, by their names in the template; empty where no network was changed.

    Args:
        results: what a run measured, of format 2.
    """
    stops = [mapping(each) for each in sequence(results.get("way"))]
    metric = str(mapping(results.get("verdict")).get("metric") or "")
    return {
        "way": [_row(each, metric) for each in stops],
        "way_metric": numbers.in_text(metric) if metric else "",
        "way_chart": _chart(stops, metric) if len(stops) > 1 else None,
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
        found.append(f"{name} made the network slower: {times}.")
    held = mapping(stop.get("metric"))
    if held and not stop.get("undone"):
        was, now = (numbers.measure(metric, held.get(when)) for when in ("before", "after"))
        found.append(f"{name}: {numbers.in_text(metric)} {was} before and {now} after, on validation.")
    return found


def _chart(stops: Sequence[Mapping[str, Any]], metric: str) -> Markup | None:
    """Quality against the bytes of the file, stop by stop."""
    points = []
    for each in stops:
        size = number(mapping(each.get("cost")).get("bytes"))
        quality = mean(mapping(each.get("quality")).get(metric))
        if size and quality is not None:
            points.append((size, quality, clean(str(each.get("name")), _LETTERS)))
    if len(points) < 2:
        return None

    def paint(axes: Any) -> None:
        from matplotlib.ticker import NullFormatter

        sizes, qualities, names = zip(*points, strict=True)
        axes.plot(sizes, qualities, color=COLOURS["primary"], linewidth=1.2, marker="o", markersize=5)
        axes.set_xscale("log")
        axes.invert_xaxis()
        axes.margins(x=0.2, y=0.3)
        for number_, (size, quality, name) in enumerate(zip(sizes, qualities, names, strict=True)):
            axes.annotate(
                name,
                (size, quality),
                (0, 9 if number_ % 2 == 0 else -16),
                textcoords="offset points",
                ha="center",
            )
        axes.xaxis.set_major_formatter(lambda value, _: numbers.size(value))
        axes.xaxis.set_minor_formatter(NullFormatter())
        frame(axes, "bytes of the weights (log scale, smaller to the right)", numbers.in_text(metric), metric)

    title = f"{numbers.label(metric)} against the bytes of the weights, stage by stage"
    return Markup(draw("way", title, paint, inches=HALF))  # noqa: S704 - drawn here, names are cleaned
