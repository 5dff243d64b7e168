"""How many threads torch computes with: one, or as many as it is set to, whichever is the faster here."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import torch

__all__ = ["fastest_threads", "threads"]

_ROUNDS = 5
_LEAST, _MOST = 0.1, 0.5  # seconds: rounds go on for the first, and end after the second
_STRETCH = 1e-3  # seconds that a timing of several calls lasts
_CALLS = 20  # at most, in one timing
_TIE = 0.9


def fastest_threads(
    call: Callable[[], object], *, most: int | None = None, device: torch.device | str = "cpu"
) -> int:
    """Whether a call is faster with one thread, or with all of them; torch's setting stays as it was.

    A small network leaves its threads so little to do that they wait for one another most of the time, a
    hundred times as long where other programs use the cores too. Both numbers are timed in turns, for a
    tenth of a second and five rounds: some hundred calls of a millisecond, 12 of twenty milliseconds, 4 of
    half a second or more.

    Args:
        call: does the work; it is called with either number of threads, so it may not count its calls. What
            it changes (weights, random numbers) stays changed.
        most: the greater number; None for what torch is set to.
        device: where the call computes.

    Returns:
        1 where that is faster by more than a tenth; else the greater number. Nothing is measured, and the
        greater number is returned, where that is 1, on accelerators, and where several processes of a group
        of `torch.distributed` would have to make the same number of calls.

    Raises:
        ValueError: `most` below 1.
    """
    many = torch.get_num_threads() if most is None else most
    if many < 1:
        raise ValueError(f"at least one thread was expected; got most={most}")
    if many == 1 or torch.device(device).type != "cpu" or _in_a_group():
        return many
    start = time.perf_counter()
    calls = _calls_in_a_stretch(call, (1, many))
    seconds: dict[int, list[float]] = {1: [], many: []}
    for number in itertools.count(1):
        for count in (1, many) if number % 2 else (many, 1):
            with threads(count):
                seconds[count].append(_mean_seconds(call, calls[count]))
        if time.perf_counter() - start > (_LEAST if number >= _ROUNDS else _MOST):
            break
    return 1 if median(seconds[1]) < _TIE * median(seconds[many]) else many


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside the block torch computes with so many threads; afterwards with as many as before.

    Raises:
        ValueError: a count below 1.
    """
    if count < 1:
        raise ValueError(f"at least one thread was expected; got {count}")
    before = torch.get_num_threads()
    _set(count)
    try:
        yield
    finally:
        _set(before)


def _set(count: int) -> None:
    if count != torch.get_num_threads():
        torch.set_num_threads(count)


def _calls_in_a_stretch(call: Callable[[], object], counts: tuple[int, ...]) -> dict[int, int]:
    """How many calls make a timing, from a first call of each that also warms up."""
    calls = {}
    for count in counts:
        with threads(count):
            calls[count] = max(1, min(_CALLS, int(_STRETCH / max(_seconds(call), 1e-9))))
    return {count: max(calls.values()) for count in counts}


def _mean_seconds(call: Callable[[], object], calls: int) -> float:
    """Seconds of one call; where they are short, the first after a change of threads does not count."""
    if calls > 1:
        call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _in_a_group() -> bool:
    distributed = torch.distributed
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
