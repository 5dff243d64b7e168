"""How long several calls take, timed in turns so that their ratio holds on a machine that is busy too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from tutelage.threads import fastest_threads, threads

__all__ = ["BUDGET", "Timing", "compare"]

BUDGET = 2.0
"""Seconds for a comparison, where nobody says; half of it a call where there are more than two."""

_ROUNDS = _BLOCKS = 4  # below this nothing is called stable
_PATIENCE = 5  # budgets that these rounds may take
_VISIT, _TIMINGS = 2e-3, 100  # a visit's seconds, and its timings at most
_ABOVE_CLOCK = 100  # a timing lasts so many ticks of the clock
_WITHIN = 0.1
_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one call takes, in milliseconds, and beside the reference.

    Args:
        p50: median over rounds of the round's median.
        p95, p99: percentiles of all timings; of fewer than a hundred, p99 is about the slowest. Calls of a
            few microseconds are timed several at once, and their mean counts.
        stable: whether the ratio can be relied on to a tenth; see `compare`.
        threads: that torch computed with.
        ratio: this median over the reference's.
        interval: 95 % bootstrap interval of the ratio, over rounds; None for the reference itself.
    """

    p50: float
    p95: float
    p99: float
    stable: bool
    threads: int
    ratio: float
    interval: tuple[float, float] | None

    def entry(self) -> dict[str, Any]:
        """The numbers of a report's `latency_ms`, without the ratio."""
        return {name: getattr(self, name) for name in ("p50", "p95", "p99", "stable", "threads")}


def compare(
    calls: Mapping[str, Callable[[], object]],
    *,
    reference: str | None = None,
    device: torch.device | str = "cpu",
    budget: float | None = None,
    counts: Mapping[str, int] | None = None,
) -> dict[str, Timing]:
    """Time several calls in turns until their ratios to the reference are stable, or the budget is spent.

    A round visits every call, in an order that moves on by one each round; a visit times the call again and
    again, for about two milliseconds. A machine that slows down thus slows all of them. The ratio of two
    medians is stable once its bootstrap interval lies within a tenth of it, and each quarter of the rounds
    gives the same ratio to a tenth; the earliest after a quarter of the budget.

    Args:
        calls: by name; each does its work and waits for it to end.
        reference: the name that ratios are taken to; None for the first.
        device: where they compute.
        budget: seconds, beside the choice of threads; None for one a call and at least two. Four rounds are
            made even if they take more, up to five times as much.
        counts: the threads of each; None for the faster of one and all, see `tutelage.threads`.

    Returns:
        Timings by name, in the order of the calls. The reference is stable if some ratio to it is; a single
        call if its own median is, in the same sense.

    Raises:
        ValueError: no calls, a reference that is not among them, a budget below 0.
    """
    reference, budget = _checked(calls, reference, budget)
    if counts is None:
        counts = {name: fastest_threads(call, device=device) for name, call in calls.items()}
    visits = [_Visit(name, call, counts[name]) for name, call in calls.items()]
    by_name = {visit.name: visit for visit in visits}
    start, check = time.perf_counter(), _ROUNDS
    while True:
        made = len(visits[0].rounds)
        for visit in visits[made % len(visits) :] + visits[: made % len(visits)]:
            visit.time()
        spent, made = time.perf_counter() - start, made + 1
        if spent > budget * (1 if made >= _ROUNDS else _PATIENCE):
            break
        if made >= check and spent > budget / 4:
            if all(_is_stable(visit, by_name[reference]) for visit in _judged(visits, reference)):
                break
            check = made + made // 2
    return _timings(visits, by_name[reference])


class _Visit:
    """One call, and the seconds of its timings, round by round."""

    def __init__(self, name: str, call: Callable[[], object], count: int) -> None:
        self.name, self.call, self.count = name, call, count
        with threads(count):
            seconds = _about(call)
        self.group = max(1, round(_ABOVE_CLOCK * _tick() / seconds))
        self.timings = max(1, min(_TIMINGS, int(_VISIT / (self.group * seconds))))
        self.rounds: list[list[float]] = []

    def time(self) -> None:
        """Add a round; where calls are short, the first after another network's does not count."""
        with threads(self.count):
            if self.timings > 1:
                self.call()
            self.rounds.append([self._seconds() for _ in range(self.timings)])

    def _seconds(self) -> float:
        start = time.perf_counter()
        for _ in range(self.group):
            self.call()
        return (time.perf_counter() - start) / self.group

    def medians(self) -> Float[np.ndarray, " rounds"]:
        """The median of each round."""
        medians: Float[np.ndarray, " rounds"] = np.median(np.asarray(self.rounds), axis=1)
        return medians


def _timings(visits: Sequence[_Visit], reference: _Visit) -> dict[str, Timing]:
    stable = {v.name: _is_stable(v, reference) for v in _judged(visits, reference.name)}
    stable[reference.name] = any(stable.values())
    base, timings = np.median(reference.medians()), {}
    for visit in visits:
        p50 = float(np.median(visit.medians()))
        p95, p99 = (float(q) for q in np.percentile(np.concatenate(visit.rounds), (95, 99)))
        timings[visit.name] = Timing(
            p50=1000 * p50,
            p95=1000 * p95,
            p99=1000 * p99,
            stable=stable[visit.name],
            threads=visit.count,
            ratio=float(p50 / base),
            interval=None if visit is reference else _interval(visit.medians(), reference.medians()),
        )
    return timings


def _judged(visits: Sequence[_Visit], reference: str) -> list[_Visit]:
    """Those whose stability is measured: all beside the reference, or a single one by itself."""
    return [visit for visit in visits if visit.name != reference or len(visits) == 1]


def _is_stable(visit: _Visit, reference: _Visit) -> bool:
    times = visit.medians()
    base = np.ones_like(times) if visit is reference else reference.medians()
    if len(times) < _ROUNDS:
        return False
    ratio, (low, high) = _ratio(times, base), _interval(times, base)
    blocks = zip(np.array_split(times, _BLOCKS), np.array_split(base, _BLOCKS), strict=True)
    of_blocks = [_ratio(*block) for block in blocks]
    narrow = (1 - _WITHIN) * ratio <= low and high <= (1 + _WITHIN) * ratio
    return narrow and max(of_blocks) <= (1 + _WITHIN) * min(of_blocks)


def _ratio(times: Float[np.ndarray, " rounds"], base: Float[np.ndarray, " rounds"]) -> float:
    return float(np.median(times) / np.median(base))


def _interval(times: Float[np.ndarray, " rounds"], base: Float[np.ndarray, " rounds"]) -> tuple[float, float]:
    """95 % percentile bootstrap of the ratio of medians; a round is drawn for both."""
    rounds = np.random.default_rng(0).integers(len(times), size=(_RESAMPLES, len(times)))
    ratios = np.median(times[rounds], axis=1) / np.median(base[rounds], axis=1)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(low), float(high)


def _about(call: Callable[[], object]) -> float:
    """Seconds of a call, the least of a few after a first one that warms up; at least a nanosecond."""
    least = np.inf
    for number in range(6):
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        least = min(least, seconds) if number else least
        if number and seconds > 10 * _VISIT:
            break
    return max(float(least), 1e-9)


def _tick() -> float:
    """The least time that the clock tells apart."""
    ticks = []
    for _ in range(20):
        start = end = time.perf_counter()
        while end == start:
            end = time.perf_counter()
        ticks.append(end - start)
    return min(ticks)


def _checked(calls: Mapping[str, Any], reference: str | None, budget: float | None) -> tuple[str, float]:
    if not calls or (reference is not None and reference not in calls):
        raise ValueError(
            f"calls to time, the reference among them, were expected; got {list(calls)} and the reference "
            f"{reference!r}"
        )
    if budget is not None and budget < 0:
        raise ValueError(f"a budget of 0 seconds or more was expected; got {budget}")
    return reference or next(iter(calls)), max(BUDGET, len(calls) * BUDGET / 2) if budget is None else budget
