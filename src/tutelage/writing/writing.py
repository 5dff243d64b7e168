"""Let a teacher go on from prompts, and keep what it writes.

A shard is a stretch of the prompts in their order. Within it they are taken by length, so that a batch holds
prompts of like length and little is filled up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch

from tutelage.answers import Manifest, Place, Prompt, ShardRecord, Text, write_texts
from tutelage.engine import Runtime
from tutelage.labelling.fingerprint import fingerprint
from tutelage.labelling.sharded_work import ShardedWork
from tutelage.studies import Study
from tutelage.tasks.problem import Writer
from tutelage.teachers import Frozen
from tutelage.writing.settings import WriteSettings

__all__ = ["Writing"]


class Writing(ShardedWork):
    """The work of one store of text: which shards there are, and how each is made.

    Args:
        study: whose teacher writes.
        teacher: its network, on the runtime's device.
        writer: of the study's field.
        place: where the text goes.
        runtime: where to write; several processes share the shards.
        settings: prompts, and how text is drawn.
        train_seconds: of the teacher's own training.
    """

    def __init__(
        self,
        study: Study,
        teacher: Frozen,
        writer: Writer,
        place: Place,
        *,
        runtime: Runtime,
        settings: WriteSettings,
        train_seconds: float = 0.0,
    ) -> None:
        super().__init__(place, runtime)
        self.study, self.teacher, self.writer = study, teacher, writer
        self.settings, self.train_seconds = settings, train_seconds
        found = writer.prompts(settings.prompts, settings.prompt_tokens)
        self.prompts = list({prompt.key: prompt for prompt in found}.values())
        self.doubled = len(found) - len(self.prompts)
        longest = max(prompt.length for prompt in self.prompts)
        writer.check(teacher.network, longest, settings.sampling.tokens)

    @property
    def sizes(self) -> Sequence[int]:
        """How many texts each shard will hold."""
        whole, each = len(self.prompts) * self.settings.samples, self.settings.shard_texts
        return [min(each, whole - start) for start in range(0, whole, each)]

    def promise(self) -> Manifest:
        """The manifest, as it is before the first text."""
        sampling = self.settings.sampling
        keys = " ".join(prompt.key for prompt in self.prompts)
        drawn = {
            "sampling_temperature": sampling.sampling_temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "samples": self.settings.samples,
        }
        return Manifest(
            teacher=fingerprint(self.teacher, torch.empty(0), self.study.resolved.get("teacher")),
            data={"prompts": hashlib.sha256(keys.encode()).hexdigest()},
            form=sampling.form,
            num_classes=self.study.problem.num_classes or 0,
            num_shards=len(self.sizes),
            drawn=drawn,
            planned=self.examples,
            shard_examples=self.settings.shard_texts,
            precision=self.teacher.precision or "float32",
        )

    def make(self, number: int) -> ShardRecord:
        """Write the texts of a shard, and put them in its place."""
        asked = self._asked(number)
        order = sorted(range(len(asked)), key=lambda at: asked[at][0].length)
        found: dict[int, Text] = {}
        for start in range(0, len(order), self.settings.batch_size):
            self.heed_stop()
            places = order[start : start + self.settings.batch_size]
            found |= zip(places, self._write([asked[at] for at in places]), strict=True)
        return write_texts(self.place, number, [found[at] for at in range(len(asked))])

    def note(self, record: ShardRecord, seconds: float) -> Mapping[str, float]:
        """How fast the shard that was made last was written."""
        return {"tokens a second": record.rows / seconds}

    def _asked(self, number: int) -> list[tuple[Prompt, int]]:
        """The prompts of a shard, each with the number of its sample."""
        start, samples = number * self.settings.shard_texts, self.settings.samples
        places = range(start, start + self.sizes[number])
        return [(self.prompts[at // samples], at % samples) for at in places]

    def _write(self, asked: Sequence[tuple[Prompt, int]]) -> list[Text]:
        with self.runtime.autocast(self.teacher.precision or "float32"):
            return self.writer.write(self.teacher.network, asked, self.settings.sampling)
