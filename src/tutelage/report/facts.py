"""The few numbers that a reader takes home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.report import numbers, roles
from tutelage.report.numbers import mapping, mean
from tutelage.report.rows import NOT_STABLE, latency_ratio

__all__ = ["batch", "facts", "metric"]


def facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Up to four values and what they are: quality, size and speed of the primary outcome, the gap closed.

    Args:
        results: what a run measured, of format 2.
    """
    own, size = roles.outcome(results), batch(results)
    name, read = roles.primary(results), metric(results)
    told = [
        (
            numbers.measure(read, mean(mapping(own.get("quality")).get(read))),
            f"{name} {numbers.in_text(read)}",
        )
    ]
    told += _beside_teacher(results, size) if results.get("teacher") else _alone(own, size)
    return [fact for fact in told if fact[0] not in (numbers.DASH, NOT_STABLE)]


def metric(results: Mapping[str, Any]) -> str:
    """The metric of the verdict if the primary outcome has it, else that outcome's first."""
    quality = mapping(roles.outcome(results).get("quality"))
    chosen = str(mapping(results.get("verdict")).get("metric") or "")
    return chosen if chosen in quality or not quality else next(iter(quality))


def batch(results: Mapping[str, Any]) -> str:
    """The batch size whose latency is shown: 1 if it was timed."""
    timed = mapping(mapping(roles.outcome(results).get("cost")).get("latency_ms"))
    return "1" if "1" in timed or not timed else str(next(iter(timed)))


def _beside_teacher(results: Mapping[str, Any], size: str) -> list[tuple[str, str]]:
    teacher, own = (mapping(each.get("cost")) for each in (results["teacher"], roles.outcome(results)))
    times = (_time(cost, size) for cost in (teacher, own))
    weights = numbers.ratio(teacher.get("bytes"), own.get("bytes"), ("smaller", "larger"))
    share = numbers.number(results.get("gap_closed"))
    closed = numbers.DASH if share is None or share < 0 else numbers.percent(share)
    return [
        (weights, "weights, against the teacher"),
        (latency_ratio(*times), f"against the teacher, batch of {size}"),
        (closed, f"of the gap from {roles.against(results) or 'nothing'} to teacher closed"),
    ]


def _alone(own: Mapping[str, Any], size: str) -> list[tuple[str, str]]:
    cost = mapping(own.get("cost"))
    time = _time(cost, size)
    shown = numbers.measure("latency", None if time.get("stable") is False else time.get("p50"))
    return [
        (numbers.size(cost.get("bytes")), "weights"),
        (shown if shown == numbers.DASH else f"{shown}{numbers.GAP}ms", f"latency, batch of {size}"),
    ]


def _time(cost: Mapping[str, Any], size: str) -> Mapping[str, Any]:
    return mapping(mapping(cost.get("latency_ms")).get(size))
