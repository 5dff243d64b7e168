"""Whether a value of a metric is better than a guess."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Scale"]

_ROUNDING = 1e-6
_TENTH = 0.1


@dataclass(frozen=True, slots=True)
class Scale:
    """A metric, its direction, and where guessing ends on it.

    Args:
        metric: its name.
        higher_is_better: its direction.
        chance: the metric of an answer that ignores the inputs; None where nobody knows.
        examples: how many it is measured on; None where nobody knows.
        teacher: the teacher's value; None for a perfect answer's.
    """

    metric: str
    higher_is_better: bool
    chance: float | None
    examples: int | None
    teacher: float | None

    def gain(self, value: float, over: float) -> float:
        """By how much a value is better than another; perplexities by their logarithms."""
        if self.metric.endswith("perplexity") and min(value, over) > 0:
            value, over = math.log(value), math.log(over)
        return value - over if self.higher_is_better else over - value

    def is_chance(self, value: float) -> bool:
        """Not better than a guess by two standard errors."""
        return self.chance is not None and not self.gain(value, self.chance) > self._luck() + _ROUNDING

    def is_far_below_chance(self, value: float) -> bool:
        """Half as often right as a guess, and by more than four standard errors of one; of shares alone."""
        if self.chance is None or not self.higher_is_better or not 0 < self.chance < 1 or not self.examples:
            return False
        return value < self.chance / 2 and value < self.chance - 2 * self._luck()

    def is_near_chance(self, value: float) -> bool:
        """At chance, or not a tenth of the way from there to the teacher."""
        if self.chance is None or self.is_chance(value):
            return self.chance is not None
        best = self._best()
        return best is not None and not self.gain(value, self.chance) > _TENTH * self.gain(best, self.chance)

    def _luck(self) -> float:
        """Two standard errors of a guess, where the metric is a share or a count of the examples."""
        assert self.chance is not None
        if not self.examples:
            return 0.0
        size = self.examples if self.metric == "errors" else 1
        share = self.chance / size
        if not 0 < share < 1 or (size == 1 and not self.higher_is_better):
            return 0.0
        return 2 * size * math.sqrt(share * (1 - share) / self.examples)

    def _best(self) -> float | None:
        """What can be reached: the teacher's value, or a perfect one."""
        assert self.chance is not None
        if self.teacher is not None and math.isfinite(self.teacher) and not self.is_chance(self.teacher):
            return self.teacher
        if self.higher_is_better:
            return 1.0 if 0 <= self.chance < 1 else None
        least = 1.0 if self.metric.endswith("perplexity") else 0.0
        return least if self.chance > least else None
