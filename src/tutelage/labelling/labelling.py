"""Ask a teacher about everything that a study will show its students, and keep the answers.

The plan is a list of shards, each a stretch of one source under one view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from tutelage.answers import Form, Manifest, Place, ShardRecord, columns_of, write_shard
from tutelage.engine import Runtime
from tutelage.labelling.answering import answer, batches, logits_of
from tutelage.labelling.fingerprint import fingerprint
from tutelage.labelling.settings import LabelSettings
from tutelage.labelling.sharded_work import ShardedWork
from tutelage.studies import Study
from tutelage.studies.views import Shown, said, shown
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Labelling"]


class Labelling(ShardedWork):
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
        super().__init__(place, runtime)
        self.study, self.teacher = study, teacher
        self.form, self.features, self.settings = form, features, settings
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
    def sizes(self) -> Sequence[int]:
        """How many answers each shard will hold."""
        return [stop - start for _, start, stop in self.plan]

    def make(self, number: int) -> ShardRecord:
        """Ask about the examples of a shard, and write it."""
        which, start, stop = self.plan[number]
        part = self.parts[which]
        answered = (self._ask(part, numbers) for numbers in batches(start, stop, part.batch_size))
        columns = columns_of(answered, self.form, self.features)
        return write_shard(self.place, number, columns, compressed=self.settings.compressed)

    def run(self, *, label: str = "label") -> None:
        """Make this process's part of what is missing."""
        super().run(label=label)

    def note(self, record: ShardRecord, seconds: float) -> Mapping[str, float]:  # noqa: ARG002
        """What all answers will take, by the shard that was made last."""
        return {"MB in all": record.nbytes / record.examples * self.examples / 1e6}

    def _ask(self, part: Shown, numbers: list[int]) -> tuple[Batch, Outputs]:
        batch = part.views[[numbers]][0]
        return batch, answer(self.teacher, batch, self.runtime.device, self.settings.precision)
