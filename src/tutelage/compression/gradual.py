"""A share that grows while a training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.errors import UnknownName
from tutelage.types import Moment

__all__ = ["Gradual"]


@dataclass(frozen=True)
class Gradual:
    """A share of weights that grows from a first to a last value along a cubic, fast and then slower.

    Args:
        first: the share in the beginning.
        until: the part of the training after which it stays what it is.
        every: updates from one look to the next.

    Source: Zhu & Gupta 2017, "To prune, or not to prune", equation 1. Differences: it begins with the first
        update (t₀ = 0), and its end is a part of the training instead of a number of looks.

    Example:
        >>> grows = Gradual(first=0.0, until=0.5, every=10)
        >>> [grows.share(0.8, Moment(step, 100, 10)) for step in (0, 25, 29, 50, 99)]
        [0.0, 0.6272, 0.6272, 0.8, 0.8]
    """

    first: float = 0.0
    until: float = 0.75
    every: int = 50

    @classmethod
    def read(cls, came: Mapping[str, Any]) -> Gradual:
        """Read `{from: 0.0, until: 0.75, every: 50}`.

        Raises:
            UnknownName, ValueError: a key that is not known, or a number out of range.
        """
        names = {"from": "first", "until": "until", "every": "every"}
        for key in came:
            if key not in names:
                raise UnknownName("setting of gradual:", key, names)
        found = cls(**{names[key]: value for key, value in came.items()})
        if not (0 <= found.first < 1 and 0 < found.until <= 1 and found.every >= 1):
            raise ValueError(
                f"gradual came as {dict(came)}; `from` of 0 or more and below 1, `until` above 0 and at most "
                "1, and `every` of at least one update are expected"
            )
        return found

    def plain(self) -> dict[str, Any]:
        """As `read` reads it."""
        return {"from": self.first, "until": self.until, "every": self.every}

    def is_due(self, moment: Moment) -> bool:
        """Whether it is looked at before this update."""
        return moment.step % self.every == 0 or moment.step == self._end(moment)

    def share(self, last: float, moment: Moment) -> float:
        """The share before this update, where the last one is `last`."""
        end = self._end(moment)
        if moment.step >= end:
            return last
        looked = moment.step - moment.step % self.every
        return round(last + (self.first - last) * (1 - looked / end) ** 3, 12)

    def _end(self, moment: Moment) -> int:
        """The update before which the share is the last one; there is one even in the shortest training."""
        return min(int(self.until * moment.total), moment.total - 1)
