"""The lines of learning curves: what a seed's history says, stage by stage, and the mean of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from tutelage.report.numbers import mapping, number, sequence

__all__ = ["Line", "joined_means", "line_of", "points_of", "stages_of"]

Line = list[tuple[float, float]]


def points_of(run: Any) -> list[Mapping[str, Any]]:
    """A seed's history; empty where there is none."""
    return [mapping(point) for point in sequence(mapping(run).get("points"))]


def line_of(points: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], Any]) -> Line:
    """The values by step, leaving out points without one; of two at a step the later one stands."""
    pairs = ((number(point.get("step")), number(read(point))) for point in points)
    found = {step: value for step, value in pairs if step is not None and value is not None}
    return sorted(found.items())


def stages_of(run: Any, read: Callable[[Mapping[str, Any]], Any]) -> dict[int, Line]:
    """A line for each stage: where one ends and the next begins, nothing was measured in between."""
    by_stage: dict[int, list[Mapping[str, Any]]] = {}
    for point in points_of(run):
        by_stage.setdefault(int(number(point.get("stage")) or 0), []).append(point)
    lines = {stage: line_of(points, read) for stage, points in by_stage.items()}
    return {stage: line for stage, line in lines.items() if line}


def joined_means(seeds: Sequence[Mapping[int, Line]]) -> list[Line]:
    """The mean of several seeds, a line for each stage.

    Seeds may be measured at different steps, and one may end before another. A mean over whoever happens to
    have a value would jump where one comes or goes. So each seed is read between its own points, and the mean
    goes as far as all of them go.

    Args:
        seeds: of each, its lines by stage.
    """
    stages = dict.fromkeys(stage for lines in seeds for stage in lines)
    means = (_mean([lines[stage] for lines in seeds if stage in lines]) for stage in sorted(stages))
    return [line for line in means if line]


def _mean(lines: Sequence[Line]) -> Line:
    first, last = max(line[0][0] for line in lines), min(line[-1][0] for line in lines)
    steps = sorted({step for line in lines for step, _ in line if first <= step <= last})
    read = [np.interp(steps, [step for step, _ in line], [value for _, value in line]) for line in lines]
    return [(step, fmean(float(values[place]) for values in read)) for place, step in enumerate(steps)]
