"""Did the teacher help: a student against the same student trained alone, seed by seed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.special import stdtrit

from tutelage.evaluation.wording import describe

__all__ = ["Verdict", "gap_closed", "judge", "paired_interval"]

MOST_SEEDS = 1000
POWER = 0.8

IF_WORSE = (
    "lower the weight of the teacher's term",
    "check the teacher's accuracy and calibration on the student's own validation set",
    "try another temperature: a higher one softens an overconfident teacher",
    "put an assistant of middle size between teacher and student",
    "train for longer: matching a teacher takes more steps than matching labels",
    "tune the control and the student with the same effort before comparing them again",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a student is better than its control, and how sure that is.

    Args:
        word: "better" or "worse" if the interval has a width and excludes zero, else "not shown".
        metric: what was compared.
        difference: student − control, mean over seeds, in the metric's own unit.
        interval: of the difference, same unit; None with one seed.
        level: confidence of the interval, 0 … 1.
        why: one sentence with the numbers.
        uncontrolled: what was not held equal between the two.
        advice: what to try next.
    """

    word: Literal["better", "worse", "not shown"]
    metric: str
    difference: float
    interval: tuple[float, float] | None
    level: float
    why: str
    uncontrolled: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def paired_interval(
    differences: Sequence[float], *, level: float = 0.95, resolution: float = 0.0
) -> tuple[float, float] | None:
    """Student's t interval of the mean difference over paired seeds.

    It assumes that the differences are independent and roughly normal. A metric that moves in steps, as a
    count over a test set does, can agree to the last example between two seeds by chance; the spread is
    therefore taken to be at least that of rounding to such steps. Without a resolution, differences that are
    all equal give an interval without width.

    Args:
        differences: one number for each seed.
        level: confidence, 0 … 1.
        resolution: the least step of the metric that was compared, in the differences' unit.

    Returns:
        (low, high) in the differences' unit, or None for one seed, which has no spread.

    Raises:
        ValueError: no difference, one that is not finite, or a level outside 0 … 1.

    Source: Student 1908, "The Probable Error of a Mean".
    """
    _check_finite("differences", differences)
    _check_level(level)
    count = len(differences)
    if count == 1:
        return None
    mean = statistics.fmean(differences)
    rounding = resolution * math.sqrt(2 / 12)  # of two metrics, each uniform within its step
    spread = max(statistics.stdev(differences), rounding)
    half = _t((1 + level) / 2, count - 1) * spread / math.sqrt(count)
    return mean - half, mean + half


def judge(
    metric: str,
    control: Sequence[float],
    student: Sequence[float],
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
    resolution: float = 0.0,
    uncontrolled: Sequence[str] = (),
) -> Verdict:
    """Compare a student with its control: the same student, initialisation and data order, without a teacher.

    Args:
        metric: what the numbers are; accuracies and recalls are worded in points (hundredths).
        control, student: one number for each seed, the same seed at the same place.
        higher_is_better: false for errors and losses.
        level: confidence of the interval, 0 … 1.
        resolution: the least step of the metric: 1 for a count of errors, 1/N for an accuracy over N.
        uncontrolled: what was not held equal, in plain words.

    Raises:
        ValueError: lists that are empty, of unequal lengths or not finite; a level outside 0 … 1.
    """
    if len(control) != len(student):
        raise ValueError(
            f"paired seeds were expected; got {len(control)} for the control and {len(student)} for the "
            "student: run both with the same seeds"
        )
    _check_finite("control", control)
    _check_finite("student", student)
    differences = [_difference(ours, alone) for ours, alone in zip(student, control, strict=True)]
    interval = paired_interval(differences, level=level, resolution=resolution)
    difference = statistics.fmean(differences)
    word = _word(interval, higher_is_better=higher_is_better)
    return Verdict(
        word=word,
        metric=metric,
        difference=difference,
        interval=interval,
        level=level,
        why=describe(metric, difference, interval, seeds=len(differences), level=level),
        uncontrolled=tuple(uncontrolled),
        advice=_advice(word, differences, level),
    )


def gap_closed(
    teacher: float, control: float, student: float, *, higher_is_better: bool = True
) -> float | None:
    """The share of the gap between control and teacher that the student closed.

    0 is no better than alone, 1 is as good as the teacher; it may lie outside.

    Args:
        teacher, control, student: one metric of each, in the same unit.
        higher_is_better: false for errors and losses.

    Returns:
        The share, or None where the teacher is no better than the control: there is no gap to close.

    Raises:
        ValueError: a number that is not finite.
    """
    _check_finite("teacher, control and student", (teacher, control, student))
    sign = 1 if higher_is_better else -1
    gap = sign * (teacher - control)
    return sign * (student - control) / gap if gap > 0 else None


def _word(
    interval: tuple[float, float] | None, *, higher_is_better: bool
) -> Literal["better", "worse", "not shown"]:
    if interval is None or interval[0] <= 0 <= interval[1] or interval[0] == interval[1]:
        return "not shown"  # seeds that agree exactly say nothing about their spread
    return "better" if (interval[0] > 0) == higher_is_better else "worse"


def _difference(ours: float, alone: float) -> float:
    """The difference, with what is only rounding taken for none."""
    return 0.0 if math.isclose(ours, alone, rel_tol=1e-12) else ours - alone


def _advice(word: str, differences: Sequence[float], level: float) -> tuple[str, ...]:
    if word == "worse":
        return IF_WORSE
    return () if word == "better" else (_more_seeds(differences, level),)


def _more_seeds(differences: Sequence[float], level: float) -> str:
    """How many seeds would show a difference like this one, four times out of five."""
    if len(differences) == 1:
        return "run more seeds: one has no spread to judge by; five paired seeds are a fair start"
    mean, spread = abs(statistics.fmean(differences)), statistics.stdev(differences)
    if mean > 0 and spread == 0:
        return "run more seeds: these agree exactly, which says nothing about the spread between seeds"
    needed = next((n for n in range(2, MOST_SEEDS + 1) if _shows(mean, spread, n, level)), None)
    if mean == 0 or needed is None:
        return (
            f"even {MOST_SEEDS} seeds would hardly show a difference this small beside its spread between "
            "seeds; look for a larger effect instead"
        )
    return (
        f"run more seeds: about {needed} would be needed to show a difference of this size and spread four "
        f"times out of five (there were {len(differences)})"
    )


def _shows(mean: float, spread: float, seeds: int, level: float) -> bool:
    wanted = _t((1 + level) / 2, seeds - 1) + _t(POWER, seeds - 1)
    return wanted * spread / math.sqrt(seeds) <= mean


def _t(probability: float, freedom: int) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(freedom, probability))


def _check_finite(name: str, values: Sequence[float]) -> None:
    broken = [value for value in values if not math.isfinite(value)]
    if not values or broken:
        came = f"{len(broken)} of {len(values)} NaN or infinite" if broken else "none"
        raise ValueError(f"{name}: finite numbers were expected, at least one; got {came}")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level between 0 and 1 was expected (0.95, say); got {level}")
