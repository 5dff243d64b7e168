"""Differences between two arms, in plain words."""

from __future__ import annotations

__all__ = ["describe"]

ALONE = "the same student trained alone"


def describe(
    metric: str, difference: float, interval: tuple[float, float] | None, *, seeds: int, level: float
) -> str:
    """One sentence: by how much the student differs from its control, and how sure that is.

    Args:
        metric: its name; accuracies and recalls are shares, 0 … 1, and are worded in points.
        difference: student − control, in the metric's unit.
        interval: of the difference, in the same unit.
        seeds: how many paired seeds.
        level: confidence of the interval, 0 … 1.
    """
    scale = 100 if _is_share(metric) else 1
    sign = -1 if difference < 0 else 1
    head = _head(metric, difference, scale)
    if interval is None:
        return f"{head}, on one seed: the spread between seeds is unknown, so nothing is shown"
    low, high = sorted(sign * scale * edge for edge in interval)
    percent = f"{100 * level:.4g} % interval"
    first, last = _number(low, scale), _number(high, scale)
    if first == last:
        return f"{head}, and {seeds} paired seeds agree to the digits shown: the {percent} tells no spread"
    span = f"{percent} {first} to {last} over {seeds} paired seeds"
    if low <= 0 <= high:
        return f"{head}, {'but' if difference else 'and'} the {span} holds zero"
    return f"{head}, {span}"


def _head(metric: str, difference: float, scale: int) -> str:
    size = _number(abs(scale * difference), scale)
    more = difference > 0
    if difference == 0:
        return f"no different from {ALONE} in {metric}"
    if metric == "accuracy":
        return f"{size} points {'more' if more else 'less'} accurate than {ALONE}"
    if metric == "errors":
        return f"{size} {'more' if more else 'fewer'} errors than {ALONE}"
    unit = " points" if scale == 100 else ""
    return f"{metric} {size}{unit} {'higher' if more else 'lower'} than {ALONE}"


def _is_share(metric: str) -> bool:
    return metric.endswith("accuracy") or metric.startswith("recall")


def _number(value: float, scale: int) -> str:
    """Points with one decimal, or two digits where that would say 0; other units with three digits."""
    if scale == 100:
        text = f"{value:.1f}" if value == 0 or abs(value) >= 0.05 else f"{value:.2g}"
    else:
        text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")
