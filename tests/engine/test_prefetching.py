"""One step ahead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tutelage.engine.prefetching import prefetched


def noted(count: int, said: list[str]) -> Iterator[int]:
    for number in range(count):
        said.append(f"load {number}")
        yield number


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, ""),
        (1, "load 0, begin 0, step 0"),
        (3, "load 0, begin 0, load 1, begin 1, step 0, load 2, begin 2, step 1, step 2"),
    ],
)
def test_the_next_step_is_begun_before_this_one_is_made(count, expected):
    said: list[str] = []
    steps = prefetched(noted(count, said), lambda number: said.append(f"begin {number}"))
    while (step := next(steps, None)) is not None:
        said.append(f"step {step}")
    assert ", ".join(said) == expected
