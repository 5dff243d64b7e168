"""The steps to come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


def prefetched(steps: Iterable[T], begin: Callable[[T], None]) -> Iterator[T]:
    """Each step, after the next one was loaded and begun.

    Args:
        steps: as they are loaded.
        begin: called with each step, before the one in front of it is given.

    Example:
        >>> list(prefetched("ab", lambda step: print("begin", step)))
        begin a
        begin b
        ['a', 'b']
    """
    held: list[T] = []
    for step in steps:
        begin(step)
        yield from held
        held = [step]
    yield from held
