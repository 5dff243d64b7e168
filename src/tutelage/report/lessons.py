"""What a page shows of lessons that were learnt one after another: each measured after every stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.report import numbers
from tutelage.report.numbers import mapping, sequence

__all__ = ["lessons"]


def lessons(results: Mapping[str, Any]) -> dict[str, Any]:
    """The table of each outcome, by their names in the template; none where there were no lessons.

    Args:
        results: what a run measured, of format 2.
    """
    told = mapping(results.get("lessons"))
    names = [str(name) for name in sequence(told.get("names"))]
    return {
        "lessons": [
            {
                "name": str(name),
                "stages": names,
                "rows": [
                    (lesson, _cells(place, row))
                    for place, (lesson, row) in enumerate(
                        zip(names, sequence(mapping(entry).get("accuracy")), strict=False)
                    )
                ],
                "less": _beside(mapping(mapping(entry).get("forgetting"))),
            }
            for name, entry in mapping(told.get("outcomes")).items()
        ],
        "lesson_given": bool(told.get("given")),
    }


def _cells(lesson: int, row: Any) -> Sequence[tuple[str, bool]]:
    """The accuracy after each stage, and whether the lesson was learnt by then."""
    return [
        (numbers.measure("accuracy", value), stage >= lesson) for stage, value in enumerate(sequence(row))
    ]


def _beside(held: Mapping[str, Any]) -> str:
    """The difference in forgetting to what an outcome is held against, with its interval."""
    apart = numbers.number(held.get("difference"))
    if apart is None:
        return ""
    said = f"Forgetting {numbers.difference('forgetting', apart)} against {held.get('against')}"
    bounds = [numbers.difference("forgetting", each, beside=apart) for each in sequence(held.get("interval"))]
    if len(bounds) != 2:
        return f"{said}, on one seed."
    return f"{said}, {numbers.percent(held.get('level'))} interval {bounds[0]} to {bounds[1]} over the seeds."
