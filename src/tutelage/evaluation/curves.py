"""How a training ended, from its curves: better than it began, worse, or on its way still."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from tutelage.evaluation.scale import Scale

__all__ = ["LEAST_POINTS", "Curve", "best_last", "course", "has_diverged", "in_bins", "late_share"]

_TENTH = 0.1
_BURST = 2  # times the first loss
_QUARTER = 0.25
LEAST_POINTS = 4  # of a curve, before anything is said of its end
_BINS = 12
_FIFTIETH = 0.02

Curve = Sequence[tuple[float, float]]
"""(step, value), in the order of steps."""


def course(losses: Curve) -> tuple[float, float, float]:
    """Where losses start, how high they get and where they end: ends are means of a tenth of the curve."""
    values = [value for _, value in losses]
    tenth = max(1, len(values) // 10)
    return fmean(values[:tenth]), max(values), fmean(values[-tenth:])


def has_diverged(value: float, history: Curve, losses: Curve, scale: Scale) -> bool:
    """Whether one seed's training ended worse than it began.

    Args:
        value: the metric on the test set.
        history: the metric on the validation split, by step; may be empty.
        losses: the training loss, by step; may be empty.
        scale: of the metric.
    """
    if not math.isfinite(value):
        return True
    found, fell = [held for _, held in history], scale.is_near_chance(value)
    if losses:
        first, most, last = course(losses)
        improved = bool(found) and scale.gain(found[-1], found[0]) > 0
        rose = last > first + _TENTH * abs(first) and not improved
        if not math.isfinite(last) or rose or (fell and most > _BURST * abs(losses[0][1])):
            return True
    return fell and bool(found) and not all(map(scale.is_near_chance, found))


def late_share(histories: Sequence[Curve], scale: Scale) -> float | None:
    """The share of the whole gain that the last quarter brought, if that is steep and no noise.

    A curve that nears its end exponentially, and gained a tenth in its last quarter, has a seventh to come.
    """
    ends = [_End.of(curve, scale) for curve in histories if len(curve) >= LEAST_POINTS and _is_finite(curve)]
    if not ends:
        return None
    whole, quarter, eighth = (
        fmean(getattr(end, name) for end in ends) for name in ("whole", "quarter", "eighth")
    )
    noise = math.sqrt(2 * fmean(end.variance for end in ends) / len(ends))
    steep = quarter > _TENTH * whole and eighth > quarter / 4
    return quarter / whole if whole > 0 and steep and quarter > 2 * noise else None


def best_last(histories: Sequence[Curve], scale: Scale) -> bool:
    """Whether each seed's last look was its best, with a fiftieth of the whole gain in the last quarter."""
    ends = []
    for curve in histories:
        if len(curve) < LEAST_POINTS or not _is_finite(curve):
            return False
        last = curve[-1][1]
        if not all(scale.gain(last, value) > 0 for _, value in curve[:-1]):
            return False
        ends.append(_End.of(curve, scale))
    return bool(ends) and fmean(one.quarter for one in ends) > _FIFTIETH * fmean(one.whole for one in ends)


def in_bins(losses: Curve) -> Curve:
    """A curve of losses, less noisy: means of a dozen stretches, each at its last step."""
    bins = np.array_split(np.array(losses, dtype=float).reshape(-1, 2), min(_BINS, len(losses)) or 1)
    return [(float(held[-1, 0]), float(held[:, 1].mean())) for held in bins if len(held)]


def _is_finite(curve: Curve) -> bool:
    return all(math.isfinite(value) for _, value in curve)


@dataclass(frozen=True, slots=True)
class _End:
    """What a history gained in all, in its last quarter and in its last eighth; the variance of a point."""

    whole: float
    quarter: float
    eighth: float
    variance: float

    @classmethod
    def of(cls, curve: Curve, scale: Scale) -> _End:
        steps = np.array([step for step, _ in curve], dtype=float)
        gains = np.array([scale.gain(value, curve[0][1]) for _, value in curve])
        guess = 0.0 if scale.chance is None else scale.gain(scale.chance, curve[0][1])
        before = [np.interp((1 - part) * steps[-1], steps, gains) for part in (_QUARTER, _QUARTER / 2)]
        late = steps >= steps[-1] / 2
        if late.sum() < 3:
            late[-3:] = True
        line = np.polynomial.Polynomial.fit(steps[late], gains[late], 1)
        scatter = float(np.sum((gains[late] - line(steps[late])) ** 2) / (late.sum() - 2))
        start = min(0.0, guess)
        return cls(gains[-1] - start, gains[-1] - before[0], gains[-1] - before[1], scatter)
