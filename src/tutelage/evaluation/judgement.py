"""What is said of a comparison: the record of a verdict."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Verdict", "Word"]

Word = Literal["better", "worse", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a student is better than its control, and how sure that is.

    Args:
        word: "better" or "worse" if the interval has a width and excludes zero, else "not shown".
        of: what was judged.
        against: what it was held against.
        metric: what was compared.
        difference: student − control, mean over seeds, in the metric's own unit.
        interval: of the difference, same unit; None below three seeds, and where all seeds are copies.
        level: confidence of the interval, 0 … 1, after looks and other comparisons had their share.
        seeds: how many paired seeds; None in records of before.
        examples: how many test examples stand behind the interval; None where it covers seeds alone.
        share_of_seeds: the part of the squared half width that is the luck of seeds, 0 … 1.
        share_of_test_set: the part that is the luck of test examples; None, as the other, without examples.
        smallest_effect: the smallest difference that this run could have shown four times out of five.
        p_value: 1 − the level at which the interval just touches zero, not corrected for other comparisons.
        credit: who is to be thanked for "better", where a placebo ran beside the teacher; nobody where a
            network at chance makes it doubtful.
        why: one sentence with the numbers.
        doubts: what makes both numbers doubtful, such as a control at chance; to be read before the word.
        uncontrolled: what was not held equal between the two.
        advice: what to try next.
    """

    word: Word
    of: str = "student"
    against: str = "control"
    metric: str
    difference: float
    interval: tuple[float, float] | None
    level: float
    seeds: int | None = None
    examples: int | None = None
    share_of_seeds: float | None = None
    share_of_test_set: float | None = None
    smallest_effect: float | None = None
    p_value: float | None = None
    credit: Literal["the teacher", "the recipe", "nobody"] | None = None
    why: str
    doubts: tuple[str, ...] = ()
    uncontrolled: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
