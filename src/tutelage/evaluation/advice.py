"""What to try next: after a student that is worse, and after a difference that was not shown."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable

from tutelage.evaluation.two_way import TwoWay

__all__ = ["advice"]

MOST_SEEDS = 1000
MOST_TIMES = 1000.0  # the test examples that there were

IF_WORSE = (
    "lower the weight of the teacher's term",
    "check the teacher's accuracy and calibration on the student's own validation set",
    "try another temperature: a higher one softens an overconfident teacher",
    "put an assistant of middle size between teacher and student",
    "train for longer: matching a teacher takes more steps than matching labels",
    "tune the control and the student with the same effort before comparing them again",
)

IF_UNJUDGED = {
    "seeds": "run more seeds: at least three are needed for a word, and five paired seeds are a fair start",
    "copies": "give a function that builds the student, so that each seed starts from its own weights, or "
    "take smaller batches, so that each seed has its own order",
    "agree": "run more seeds, and check that they differ: these agree exactly, which says nothing about the "
    "spread between seeds",
}


def advice(
    word: str, unjudged: str, luck: TwoWay | None, examples: int | None, level: float
) -> tuple[str, ...]:
    """What to try next.

    Args:
        word: of the verdict.
        unjudged: why nothing could be judged; empty where it could.
        luck: the difference and its luck; None where nothing could be judged.
        examples: how many test examples there were; None where they are not known.
        level: confidence of the interval, 0 … 1.
    """
    if word == "worse":
        return IF_WORSE
    if luck is None:
        return (IF_UNJUDGED[unjudged],)
    return () if word == "better" else (_more(luck, examples, level),)


def _more(luck: TwoWay, examples: int | None, level: float) -> str:
    """More of what would show a difference like this one, four times out of five."""
    if luck.mean == 0:
        return "the means are equal, so that no number of seeds helps; look for a larger effect instead"
    seeds = _seeds_needed(luck, level)
    times = None if examples is None else _times_needed(luck, level)
    by_seeds = None if seeds is None else _say("seeds", seeds, luck.seeds)
    by_examples = (
        None
        if times is None or examples is None
        else _say("test examples", _rounded(times * examples), examples)
    )
    test_set_first = (luck.share_of_test_set(level) or 0.0) > 0.5
    first, second = (by_examples, by_seeds) if test_set_first else (by_seeds, by_examples)
    if first is not None:
        return first + _little(test_set_first, examples)
    if second is not None:
        return second
    return _hardly(luck, examples, level)


def _say(what: str, needed: int, there: int) -> str:
    verb = "run" if what == "seeds" else "take"
    return (
        f"{verb} more {what}: about {needed:,} would be needed to show a difference of this size "
        f"four times out of five (there were {there:,})"
    )


def _little(test_set_first: bool, examples: int | None) -> str:
    if examples is None:
        return ""
    return f"; more {'seeds' if test_set_first else 'test examples'} would change less"


def _hardly(luck: TwoWay, examples: int | None, level: float) -> str:
    if examples is None:
        return (
            f"even {MOST_SEEDS} seeds would hardly show a difference this small beside its spread between "
            "seeds; look for a larger effect instead"
        )
    both = _both_needed(luck, level)
    way = (
        "look for a larger effect instead"
        if both is None
        else f"it would take both, about {round(luck.seeds * both)} seeds and {_rounded(examples * both):,} "
        "test examples, or a larger effect"
    )
    return f"neither more seeds nor more test examples alone would show a difference this small: {way}"


def _seeds_needed(luck: TwoWay, level: float) -> int | None:
    counts = range(luck.seeds + 1, MOST_SEEDS + 1)
    place = bisect_left(counts, True, key=lambda n: luck.smallest_effect(level, seeds=n) <= abs(luck.mean))
    return counts[place] if place < len(counts) else None


def _times_needed(luck: TwoWay, level: float) -> float | None:
    return _least(lambda times: luck.smallest_effect(level, times=times) <= abs(luck.mean))


def _both_needed(luck: TwoWay, level: float) -> float | None:
    def shown(times: float) -> bool:
        return luck.smallest_effect(level, seeds=round(luck.seeds * times), times=times) <= abs(luck.mean)

    return _least(shown)


def _least(shown: Callable[[float], bool]) -> float | None:
    """The least factor above 1 that is enough, to a hundredth of itself; None where no sensible one is."""
    low, high = 0.0, math.log(MOST_TIMES)
    if not shown(MOST_TIMES):
        return None
    while high - low > 0.005:
        middle = (low + high) / 2
        low, high = (low, middle) if shown(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _rounded(count: float) -> int:
    """Up, to two digits."""
    step: int = 10 ** max(0, math.floor(math.log10(count)) - 1)
    return math.ceil(count / step) * step
