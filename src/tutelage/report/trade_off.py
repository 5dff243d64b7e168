"""Quality against latency and size: what a smaller network costs, in one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.report import numbers
from tutelage.report.numbers import mapping, number
from tutelage.report.svg import COLOURS, HALF, clean, draw, frame

__all__ = ["log_ticks", "name_spots", "trade_off"]

_LINE = 15
"""Points from one name to the next."""
_FEW = 6
"""Bubbles that a chart of the usual size has room for."""


def trade_off(arms: Mapping[str, Any], metric: str, batch: str, colours: Mapping[str, str]) -> str | None:
    """Quality against latency, a bubble's area the size of the weights.

    Args:
        arms: by column, its `quality` and `cost`.
        metric: the quality on the vertical axis.
        batch: which batch size's median latency is on the horizontal axis; one not stable is a hollow bubble.
        colours: by column, its name in `COLOURS`.
    """
    few = len(arms) <= _FEW
    inches, letters = (HALF, 16) if few else ((7.5, 4.4), 24)
    found = [_spot(name, COLOURS[colours[name]], arm, metric, batch, letters) for name, arm in arms.items()]
    spots = [spot for spot in found if spot]
    if len(spots) < 2:
        return None
    largest = max(spot["bytes"] for spot in spots) or 1

    def paint(axes: Any) -> None:
        for spot in spots:
            spot["area"] = 30 + 1200 * spot["bytes"] / largest
            look = {"color": spot["colour"], "alpha": 0.6, "linewidths": 0}
            if not spot["stable"]:
                look = {"facecolors": "none", "edgecolors": spot["colour"], "linewidths": 1.2}
            axes.scatter([spot["x"]], [spot["y"]], s=spot["area"], **look)
        axes.set_xscale("log")
        low, high = (extreme(spot["x"] for spot in spots) for extreme in (min, max))
        axes.set_xlim(low / 2, high * 2)
        axes.margins(y=0.35)
        log_ticks(axes, low, high)
        name_spots(axes, spots)
        frame(axes, f"latency, batch of {batch}, ms (log scale)", numbers.in_text(metric), metric)

    title = f"{numbers.label(metric)} against latency, bubbles as large as the weights"
    return draw("trade-off", title, paint, inches=inches)


def _spot(
    name: str, colour: str, arm: Mapping[str, Any], metric: str, batch: str, letters: int
) -> dict[str, Any] | None:
    cost = mapping(arm.get("cost"))
    time = mapping(mapping(cost.get("latency_ms")).get(batch))
    latency = number(time.get("p50"))
    quality = numbers.mean(mapping(arm.get("quality")).get(metric))
    if latency is None or quality is None or latency <= 0:
        return None
    weights = number(cost.get("bytes")) or 0
    text = f"{clean(name, letters)}, {numbers.size(weights)}" if weights else clean(name, letters)
    spot = {"x": latency, "y": quality, "bytes": weights, "colour": colour, "text": text}
    return spot | {"stable": time.get("stable") is not False}


def log_ticks(axes: Any, low: float, high: float) -> None:
    """Label a horizontal log axis at 1, 2 and 5 times powers of ten.

    Args:
        axes: whose.
        low, high: the least and the greatest value on it.
    """
    from matplotlib.ticker import FixedLocator, NullLocator

    steps = [digit * 10.0**power for power in range(-5, 7) for digit in (1, 2, 5)]
    inside = [step for step in steps if low / 2 <= step <= high * 2]
    axes.xaxis.set_major_locator(
        FixedLocator(inside if len(inside) <= 7 else inside[:: 1 + len(inside) // 7])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def name_spots(axes: Any, spots: Sequence[dict[str, Any]]) -> None:
    """Write each bubble's name beside it, towards the wider half, and never one on another.

    Args:
        axes: a plot with a log axis below.
        spots: each with `x`, `y`, `area` in square points, and `text`.
    """
    low, high = axes.get_ylim()
    points_high = 72 * axes.figure.get_figheight() * 0.78
    middle, last = (axes.get_xlim()[0] * axes.get_xlim()[1]) ** 0.5, -float("inf")
    for spot in sorted(spots, key=lambda each: each["y"]):
        height = (spot["y"] - low) / (high - low) * points_high
        last = max(height, last + _LINE)
        away, right = (spot["area"] / 3.14) ** 0.5 + 6, spot["x"] <= middle
        moved = last - height > 4
        axes.annotate(
            spot["text"],
            (spot["x"], spot["y"]),
            (away if right else -away, last - height),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            arrowprops={"arrowstyle": "-", "color": COLOURS["muted"], "linewidth": 0.7} if moved else None,
        )
