"""Work in shards, none of which needs another.

Processes and machines share them, and whoever is killed loses the shards in hand and no more.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from tutelage.answers import Place, ShardRecord, damage, read_record
from tutelage.engine import Runtime
from tutelage.engine.tracking import Progress
from tutelage.errors import Interrupted

__all__ = ["ShardedWork"]


class ShardedWork(ABC):
    """The work of one store of answers.

    Args:
        place: where the answers go.
        runtime: where to work; several processes share the shards.
    """

    def __init__(self, place: Place, runtime: Runtime) -> None:
        self.place, self.runtime = place, runtime

    @property
    @abstractmethod
    def sizes(self) -> Sequence[int]:
        """How many answers each shard will hold."""

    @abstractmethod
    def make(self, number: int) -> ShardRecord:
        """Make the answers of a shard, and write it."""

    @abstractmethod
    def note(self, record: ShardRecord, seconds: float) -> Mapping[str, float]:
        """What to say beside the progress, of the shard that was made last."""

    @property
    def examples(self) -> int:
        """How many answers there will be."""
        return sum(self.sizes)

    def missing(self) -> list[int]:
        """The shards that nobody has finished, and those whose file is gone or of another size."""
        return [number for number in range(len(self.sizes)) if not self._is_there(number)]

    def _is_there(self, number: int) -> bool:
        record = read_record(self.place, number)
        return record is not None and damage(self.place, record, size_alone=True) is None

    def run(self, *, label: str) -> None:
        """Make this process's part of what is missing.

        Args:
            label: what to call it in progress.

        Raises:
            Interrupted: a stop was asked for; finished shards stay.
        """
        mine = self.runtime.share(self.missing())[self.runtime.rank :: self.runtime.world]
        stopped = False
        try:
            self._make_all(mine, label)
        except Interrupted:
            stopped = True
        if self.runtime.any(stopped):  # all stop together, done or not
            raise Interrupted(f"stopped on request; {self.place.url} keeps what was answered")

    def _make_all(self, numbers: Sequence[int], label: str) -> None:
        done, clock, sizes = 0, time.perf_counter(), self.sizes
        with Progress(label, sum(sizes[each] for each in numbers), quiet=self.runtime.quiet) as progress:
            for number in numbers:
                self.heed_stop()
                record, since = self.make(number), clock
                done += sizes[number]
                clock = self.spend(since, str(self.runtime.rank))
                progress.show(done, self.note(record, clock - since))

    def heed_stop(self) -> None:
        """Stop here, if somebody asked for it."""
        if self.runtime.stop_asked:
            raise Interrupted("stopped on request")

    def spend(self, since: float, who: str) -> float:
        """Note the seconds since a moment, beside those of earlier calls; the moment of now."""
        now, name = time.perf_counter(), f"times/{who}.json"
        self.place.write(name, json.dumps(self._noted(name) + now - since).encode())
        return now

    def spent(self) -> float:
        """Seconds of work by all, over all calls."""
        whose = [*map(str, range(self.runtime.world)), "ray"]
        return sum(self._noted(f"times/{who}.json") for who in whose)

    def _noted(self, name: str) -> float:
        """Seconds that a file notes; none where it does not say."""
        try:
            return float(json.loads(self.place.read(name))) if self.place.exists(name) else 0.0
        except (TypeError, ValueError):
            return 0.0
