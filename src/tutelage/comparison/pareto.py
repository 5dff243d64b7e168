"""Quality against what differs most: size, latency or training time, with the runs that no other beats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.comparison.rows import colours, latency_of, named
from tutelage.report import numbers
from tutelage.report.numbers import mapping, mean, number
from tutelage.report.svg import COLOURS, clean, draw, frame
from tutelage.report.trade_off import log_ticks, name_spots

__all__ = ["Axis", "Spot", "axis_of", "front", "pareto", "spots_of"]

_NAMED = 10
"""Spots up to which all of them have a name on the plot; of more, students and what no other beats."""

_APART = 1.1
"""By how much students must differ in a cost that is worth an axis, the largest to the smallest."""


@dataclass(frozen=True)
class Axis:
    """A cost to draw quality against.

    Args:
        name: in a sentence.
        unit: behind it.
        read: the cost of a row; None where it was not measured, or cannot be trusted.
    """

    name: str
    unit: str
    read: Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Spot:
    """A network on the plot.

    Args:
        text: its name.
        cost, quality: where it lies.
        colour: a name of `COLOURS`.
        student: whether a run is about it, or it was measured elsewhere: those that one chooses between.
        other: whether it is a further outcome of a run, such as the student before it was pruned.
    """

    text: str
    cost: float
    quality: float
    colour: str
    student: bool
    other: bool = False


def axis_of(results: Mapping[str, Any]) -> Axis | None:
    """The cost in which what one chooses between differs: size, else latency, else training time.

    Args:
        results: of a comparison.
    """
    rows = [row for row in results["rows"] if row["role"] in ("primary", "measure")]
    for axis in _AXES:
        costs = [found for row in rows if (found := axis.read(mapping(row["cost"])))]
        if len(costs) > 1 and max(costs) > _APART * min(costs):
            return axis
    rest = [
        axis for axis in _AXES if sum(axis.read(mapping(r["cost"])) is not None for r in results["rows"]) > 1
    ]
    return rest[0] if rest else None


def spots_of(results: Mapping[str, Any], axis: Axis) -> list[Spot]:
    """The students, measures, teachers, controls and further outcomes whose quality and cost are known.

    Args:
        results: of a comparison.
        axis: which cost.
    """
    return list(_spots(results, axis))


def front(spots: Sequence[Spot], *, higher_is_better: bool) -> list[Spot]:
    """The spots that no other beats in quality at the same cost or less, from the cheapest on.

    Args:
        spots: what there is to choose from.
        higher_is_better: the direction of quality.
    """
    sign = 1 if higher_is_better else -1
    kept: list[Spot] = []
    for spot in sorted(spots, key=lambda each: (each.cost, -sign * each.quality)):
        if not kept or sign * spot.quality > sign * kept[-1].quality:
            kept.append(spot)
    return kept


def pareto(results: Mapping[str, Any]) -> tuple[str, Axis, list[Spot]] | None:
    """The plot as an `<svg>` element, its axis, and what no other beats; None where there is nothing to draw.

    Args:
        results: of a comparison.
    """
    axis = axis_of(results)
    spots = spots_of(results, axis) if axis else []
    if axis is None or len(spots) < 2:
        return None
    metric, best = results["metric"], front(spots, higher_is_better=results["higher_is_better"])

    def paint(axes: Any) -> None:
        axes.set_xscale("log")
        low, high = (extreme(spot.cost for spot in spots) for extreme in (min, max))
        axes.set_xlim(low / 2, high * 2)
        for spot in spots:
            look = {"color": COLOURS[spot.colour], "s": 28 if spot.other else 70, "zorder": 3}
            if spot.student or spot.other:
                axes.scatter([spot.cost], [spot.quality], **look, linewidths=0)
            else:
                axes.scatter([spot.cost], [spot.quality], **look, marker="s", alpha=0.75, linewidths=0)
        axes.margins(y=0.2)
        steps = [(spot.cost, spot.quality) for spot in best] + [(high * 2, best[-1].quality)]
        line = {"color": COLOURS["muted"], "linewidth": 1, "dashes": (3, 2), "zorder": 1}
        axes.plot(*zip(*steps, strict=True), drawstyle="steps-post", **line)
        log_ticks(axes, low, high)
        axes.xaxis.set_major_formatter(lambda value, _: numbers.amount(value).replace(numbers.GAP, "\u2009"))
        called = [s for s in spots if len(spots) <= _NAMED or s.student or s in best]
        written = [{"x": s.cost, "y": s.quality, "area": 70, "text": clean(s.text, 30)} for s in called]
        name_spots(axes, written)
        frame(axes, f"{axis.name}, {axis.unit} (log scale)", numbers.in_text(metric), metric)

    title = f"{numbers.label(metric)} against {axis.name}: {', '.join(spot.text for spot in spots)}"
    return draw("pareto", title, paint, inches=(5.6, 4.6)), axis, best


def _spots(results: Mapping[str, Any], axis: Axis) -> Iterator[Spot]:
    for row, colour in zip(results["rows"], colours(results), strict=True):
        quality = mean(mapping(row["quality"]).get(results["metric"]))
        cost = axis.read(mapping(row["cost"]))
        if quality is not None and cost:
            student, other = row["role"] in ("primary", "measure"), row["role"] == "other"
            yield Spot(named(row, results), cost, quality, colour, student, other)


def _latency(cost: Mapping[str, Any]) -> float | None:
    _, time = latency_of(cost)
    return None if time.get("stable") is False else number(time.get("p50"))


_AXES = (
    Axis("weights", "bytes", lambda cost: number(cost.get("bytes"))),
    Axis("latency", "ms", _latency),
    Axis("training time, the teacher's share included", "s", lambda cost: number(cost.get("train_seconds"))),
)
