"""Ask a teacher about everything that a study will show its students, and keep the answers.

The plan is a list of shards, each a stretch of one source under one view. A shard does not depend on any
other, so that processes and machines share them, and whoever is killed loses the shards in hand and no more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import cached_property

import torch

from tutelage.answers import Form, Manifest, Place, ShardRecord, columns_of, read_record, write_shard
from tutelage.engine import Runtime
from tutelage.engine.tracking import Progress
from tutelage.errors import Interrupted
from tutelage.runs.label.asking import answer, batches, logits_of
from tutelage.runs.label.fingerprint import fingerprint
from tutelage.runs.label.settings import LabelSettings
from tutelage.runs.label.shown import Shown, said, shown
from tutelage.runs.study import Study
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Labelling"]


class Labelling:
    """The work of one store: which shards there are, and how each is made.

    Args:
        study: whose students will read the answers.
        teacher: who answers; it lies on the runtime's device.
        place: where the answers go.
        form: how logits are kept.
        features: layer -> dtype of what is kept of it.
        rows: of logits in an example, on average.
        runtime: where to ask; several processes share the shards.
        settings: the precision of the teacher's forward passes, the size of shards, and whether they are
            compressed.
    """

    def __init__(
        self,
        study: Study,
        teacher: Teacher,
        place: Place,
        *,
        form: Form,
        features: Mapping[str, torch.dtype],
        rows: float,
        runtime: Runtime,
        settings: LabelSettings,
    ) -> None:
        self.study, self.teacher, self.place = study, teacher, place
        self.form, self.features, self.runtime, self.settings = form, features, runtime, settings
        self.parts = shown(study)
        teacher.watch(list(features))
        self.first = logits_of(self._ask(self.parts[0], list(range(min(8, len(self.parts[0].source)))))[1])
        self.num_classes = int(self.first.shape[-1])
        self.shard_examples = max(
            1, int(settings.shard_bytes / (rows * form.bytes_of_row(self.num_classes) + 16))
        )

    @cached_property
    def plan(self) -> list[tuple[int, int, int]]:
        """For each shard the part it is of, and its first and last example but one."""
        found = []
        for number, part in enumerate(self.parts):
            size = -(-self.shard_examples // part.batch_size) * part.batch_size
            length = len(part.source)
            found += [(number, start, min(start + size, length)) for start in range(0, length, size)]
        return found

    def promise(self) -> Manifest:
        """The manifest, as it is before the first answer."""
        splits = {part.name: part.source for part in reversed(self.parts)}
        changed = [part.views for part in self.parts if part.views.transform is not None]
        views = [[said(each.transform), each.view] for each in changed]
        return Manifest(
            teacher=fingerprint(self.teacher, self.first, self.study.resolved.get("teacher")),
            data={name: source.fingerprint() for name, source in sorted(splits.items())},
            views={"shown": views} if views else {},
            form=self.form.text,
            num_classes=self.num_classes,
            features={layer: str(dtype).removeprefix("torch.") for layer, dtype in self.features.items()},
            num_shards=len(self.plan),
            planned=self.examples,
            shard_examples=self.shard_examples,
            precision=self.settings.precision,
            compressed=self.settings.compressed,
        )

    @property
    def examples(self) -> int:
        """How many answers there will be."""
        return sum(len(part.source) for part in self.parts)

    def missing(self) -> list[int]:
        """The shards that nobody has finished."""
        return [number for number in range(len(self.plan)) if read_record(self.place, number) is None]

    def make(self, number: int) -> ShardRecord:
        """Ask about the examples of a shard, and write it."""
        which, start, stop = self.plan[number]
        part = self.parts[which]
        answered = (self._ask(part, numbers) for numbers in batches(start, stop, part.batch_size))
        columns = columns_of(answered, self.form, self.features)
        return write_shard(self.place, number, columns, compressed=self.settings.compressed)

    def run(self, *, label: str = "label") -> None:
        """Make this process's part of what is missing.

        Raises:
            Interrupted: a stop was asked for; finished shards stay.
        """
        mine = self.runtime.share(self.missing())[self.runtime.rank :: self.runtime.world]
        done, clock = 0, time.perf_counter()
        sizes = [stop - start for _, start, stop in self.plan]
        with Progress(label, sum(sizes[number] for number in mine), quiet=self.runtime.quiet) as progress:
            for number in mine:
                if self.runtime.stop_asked:
                    raise Interrupted(f"stopped on request; {self.place.url} keeps what was answered")
                record = self.make(number)
                done += sizes[number]
                clock = self.spend(clock, str(self.runtime.rank))
                progress.show(done, {"MB in all": record.nbytes / sizes[number] * self.examples / 1e6})

    def spend(self, since: float, who: str) -> float:
        """Note the seconds since a moment, beside those of earlier calls; the moment of now."""
        now, name = time.perf_counter(), f"times/{who}.json"
        held = json.loads(self.place.read(name)) if self.place.exists(name) else 0.0
        self.place.write(name, json.dumps(held + now - since).encode())
        return now

    def spent(self) -> float:
        """Seconds of asking by all, over all calls."""
        whose = [*map(str, range(self.runtime.world)), "ray"]
        names = [f"times/{who}.json" for who in whose]
        return sum(float(json.loads(self.place.read(name))) for name in names if self.place.exists(name))

    def _ask(self, part: Shown, numbers: list[int]) -> tuple[Batch, Outputs]:
        batch = part.views[[numbers]][0]
        return batch, answer(self.teacher, batch, self.runtime.device, self.settings.precision)
