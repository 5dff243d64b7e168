"""What a page draws of a run's details: learning curves, calibration, agreement, trade-off, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tutelage.report import charts, numbers, roles
from tutelage.report.facts import batch, metric
from tutelage.report.numbers import mapping, mean, number, sequence
from tutelage.report.trade_off import trade_off

__all__ = ["looks"]

_CLASSES_ON_A_MAP = 30
_PAIRS_IN_A_TABLE = 15


def looks(results: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Every chart of the page by its name in the template; None or empty where there is nothing to draw.

    Args:
        results: what a run measured, of format 2.
        details: curves, bins, confusion and class names.
    """
    entries, read = roles.entries(results), metric(results)
    beside_teacher = details if roles.TEACHER in entries else {}
    return {
        **_learning(results, details),
        **_calibration(results, mapping(details.get("calibration_curves"))),
        "agreement": _svg(_agreement(results, beside_teacher)),
        "trade_off": _svg(trade_off(entries, read, batch(results), roles.colours(results))),
        "unstable": _unstable(entries, batch(results)),
        "fewer_is_better": numbers.lower_is_better(read),
        **_confusion(roles.primary(results), beside_teacher),
    }


def _learning(results: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    runs = mapping(details.get("curves"))
    arms = [str(entry.get("arm") or name) for name, entry in roles.entries(results).items()]
    trained = {
        name: _marked(runs[name], _failed(results, name))
        for name in dict.fromkeys([*arms, *runs])
        if name in runs
    }
    own = str(roles.outcome(results).get("arm") or roles.primary(results))
    read = _curve_metric(results, trained)
    beside = _teacher_line(results, details, read)
    drawn = charts.curves(trained, read, roles.arm_colours(results, trained), teacher=beside)
    return {
        "curves": _svg(drawn),
        "losses": _svg(charts.losses(own, sequence(runs.get(own)))),
        "trained_as": roles.the(own),
        "thin_lines": charts.shows_seeds(trained),
        "stages_apart": _stages(trained) > 1,
        "failed_apart": any(mapping(run).get("failed") for runs in trained.values() for run in runs),
    }


def _marked(runs: Any, failed: Sequence[Any]) -> list[dict[str, Any]]:
    """An arm's seeds; those that broke off are marked, so that they count for no mean."""
    return [{**run, "failed": run.get("seed") in failed} for run in map(mapping, sequence(runs))]


def _failed(results: Mapping[str, Any], arm: str) -> list[Any]:
    found = [entry for name, entry in roles.entries(results).items() if str(entry.get("arm") or name) == arm]
    return [seed for entry in found for seed in sequence(entry.get("failed_seeds"))]


def _teacher_line(
    results: Mapping[str, Any], details: Mapping[str, Any], metric: str
) -> tuple[str, float] | None:
    """The teacher on the validation set; where that is not known, on the set that results are of."""
    known = number(mapping(details.get("teacher_validation")).get(metric))
    if known is not None:
        return roles.TEACHER, known
    measured = mean(mapping(mapping(results.get("teacher")).get("quality")).get(metric))
    return None if measured is None else (f"{roles.TEACHER} (test set)", measured)


def _stages(trained: Mapping[str, Any]) -> int:
    """In how many stages the arm with most of them was trained."""
    found = (
        {mapping(point).get("stage") for point in sequence(run.get("points"))}
        for runs in trained.values()
        for run in runs
    )
    return max(map(len, found), default=0)


def _curve_metric(results: Mapping[str, Any], trained: Mapping[str, Any]) -> str:
    seen = [
        name
        for runs in trained.values()
        for run in sequence(runs)
        for point in sequence(mapping(run).get("points"))
        for name in mapping(mapping(point).get("validation"))
    ]
    wanted = metric(results)
    return wanted if wanted in seen or not seen else str(seen[0])


def _calibration(results: Mapping[str, Any], bins: Mapping[str, Any]) -> dict[str, Any]:
    """The charts of the columns that the verdict rests on, and those of the others."""
    colours, main = roles.colours(results), roles.main(results)
    found: dict[bool, list[tuple[str, str, str, Markup | None]]] = {True: [], False: []}
    for place, (name, entry) in enumerate(roles.entries(results).items()):
        chart = charts.reliability(f"reliability-{place}", name, sequence(bins.get(name)), colours[name])
        ece = numbers.measure("ece", mean(mapping(entry.get("calibration")).get("ece")))
        if chart:
            found[name in main].append((name, colours[name], ece, _svg(chart)))
    few = len(found[True]) + len(found[False]) <= 3
    return {
        "reliability": found[True] + (found[False] if few else []),
        "more_reliability": [] if few else found[False],
    }


def _agreement(results: Mapping[str, Any], details: Mapping[str, Any]) -> str | None:
    return charts.fidelity(roles.primary(results), sequence(details.get("fidelity_bins")))


def _unstable(entries: Mapping[str, Mapping[str, Any]], size: str) -> bool:
    times = (
        mapping(mapping(mapping(entry.get("cost")).get("latency_ms")).get(size)) for entry in entries.values()
    )
    return any(time.get("stable") is False for time in times)


def _confusion(name: str, details: Mapping[str, Any]) -> dict[str, Any]:
    counts = [[number(value) or 0 for value in sequence(row)] for row in sequence(details.get("confusion"))]
    given = [str(name) for name in sequence(details.get("class_names"))]
    names = given + [str(index) for index in range(len(given), len(counts))]
    square = bool(counts) and all(len(row) == len(counts) for row in counts)
    drawn = square and len(counts) <= _CLASSES_ON_A_MAP
    return {
        "confusion": _svg(charts.confusion(counts, names[: len(counts)], name)) if drawn else None,
        "pairs": _pairs(counts, names) if square else [],
    }


def _pairs(counts: Sequence[Sequence[float]], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """The pairs of classes that the primary outcome and the teacher most often name apart."""
    apart = [
        (value, row, column)
        for row, line in enumerate(counts)
        for column, value in enumerate(line)
        if row != column and value
    ]
    worst = sorted(apart, key=lambda each: (-each[0], each[1:]))[:_PAIRS_IN_A_TABLE]
    return [(names[row], names[column], f"{value:,.0f}") for value, row, column in worst]


def _svg(chart: str | None) -> Markup | None:
    """A chart is markup already: its text was escaped when its tree was written."""
    return None if chart is None else Markup(chart)  # noqa: S704
