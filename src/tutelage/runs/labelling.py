"""Ask a teacher about everything that a study will show its students, and keep the answers.

The plan is a list of shards, each a stretch of one source under one view. A shard does not depend on any
other, so that processes and machines share them, and whoever is killed loses the shards in hand and no more.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from tutelage.answers import Form, Manifest, Place, columns_of, read_record, write_shard
from tutelage.answers.shards import ShardRecord
from tutelage.data import Loader, Source, Views, keys_of, view_of
from tutelage.engine import Runtime
from tutelage.engine.tracking import Progress
from tutelage.errors import AnswersError, Interrupted, ModelError
from tutelage.match import Match
from tutelage.runs.study import Stage, Study
from tutelage.runs.training import fresh_network, loader_seed
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Labelling", "Shown", "Wanted", "answer", "logits_of", "rows_of", "sample", "shown", "wanted"]

SHARD_BYTES = 32 * 2**20
"""What a shard takes, about."""


@dataclass(frozen=True)
class Shown:
    """A source as it is shown: all of it, under one view.

    Args:
        name: of the split.
        views: gives the batches.
        batch_size: in which it is shown.
    """

    name: str
    views: Views
    batch_size: int

    @property
    def source(self) -> Source:
        """The examples."""
        return self.views.source


@dataclass(frozen=True)
class Wanted:
    """What the losses of a study read of a teacher's answers.

    Args:
        temperatures: at which logits are read.
        layers: whose features are read.
        dense: the losses that need all logits, by the names of their terms.
    """

    temperatures: Sequence[float]
    layers: Sequence[str]
    dense: Sequence[str]


def shown(study: Study) -> list[Shown]:
    """All that students of a study are shown, each once, and what results are measured on.

    Raises:
        AnswersError: a data set draws at random, so that what was shown does not come back.
    """
    found: dict[tuple[int, str, int | None], Shown] = {}
    for arm in study.arms.values():
        for number, stage in enumerate(arm.stages if arm.needs_teacher else ()):
            size = -(-stage.settings.batch_size // stage.settings.accumulate)
            for view in _views(study, stage, number, arm.source):
                key = (id(arm.source), _said(stage.transform), view)
                views = Views(arm.source, stage.transform, view or 0, keyed=True)
                found.setdefault(key, Shown("train", views, size))
    problem = study.problem
    for name, source in (("validation", problem.validation), ("test", problem.test)):
        if source is not None:
            found.setdefault((id(source), "", None), Shown(name, Views(source, None, 0, keyed=True), 500))
    for each in found.values():
        _check_repeats(each)
    return list(found.values())


def _views(study: Study, stage: Stage, number: int, source: Source) -> list[int | None]:
    """The views of a stage over all seeds; None where examples are shown as they are."""
    if stage.transform is None:
        return [None]
    length = len(Loader(source, batch_size=stage.settings.batch_size))
    epochs = -(-stage.settings.total_steps(length) // length)
    return [view_of(loader_seed(seed, number), epoch) for seed in study.seeds for epoch in range(epochs)]


def _check_repeats(each: Shown) -> None:
    """Refuse what is shown otherwise the second time."""
    if not each.source.draws:
        return
    numbers = list(range(min(8, len(each.source))))
    once, again = (keys_of(Views(each.source, None, draw)[[numbers]][0]) for draw in (0, 1))
    if not torch.equal(once, again):
        raise AnswersError(
            f"the {each.name} data are other ones each time they are read (an augmentation in the data "
            "set?), so that an answer to what was shown fits nothing later; leave it out of the data set, "
            "and name it under `augment`, whose views come back"
        )


def wanted(study: Study, teacher: Teacher, device: torch.device) -> Wanted:
    """What the losses of a study will read, found by a dry run of each stage."""
    temperatures: set[float] = set()
    layers: dict[str, None] = {}
    dense: dict[str, None] = {}
    for arm in study.arms.values():
        for stage in arm.stages if arm.needs_teacher else ():
            scheme = stage.scheme(fresh_network(arm, 0).to(device), teacher)
            scheme.prepare(arm.source.batch([0]).to(device))
            for match in (one for one in scheme.matches if isinstance(one, Match)):
                if match.gate is not None:
                    dense[match.name] = None
                if "teacher" not in match.loss.needs:
                    continue
                layers |= dict.fromkeys(match.hints)
                if not match.hints:
                    temperatures.add(float(getattr(match.loss, "temperature", 1.0)))
                    if not match.loss.reads_sparse or match.transform is not None:
                        dense[match.name] = None
    return Wanted(sorted(temperatures) or [1.0], list(layers), list(dense))


def answer(teacher: Teacher, batch: Batch, device: torch.device, precision: str = "float32") -> Outputs:
    """What a teacher says, without a gradient."""
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        outputs: Outputs = teacher(batch.to(device))
    if outputs.logits is None and outputs.head is None:
        raise ModelError("the teacher answers without logits, and logits are what is stored; ask another one")
    return outputs


def sample(parts: Sequence[Shown], *, rows: int, name: str = "validation") -> Iterator[Batch]:
    """Batches from the start of a split until they have so many rows of logits, or the split ends."""
    part = next((each for each in parts if each.name == name), parts[0])
    found = 0
    for numbers in _batches(0, len(part.source), 64):
        batch = part.views[[numbers]][0]
        yield batch
        found += batch.count
        if found >= rows:
            return


def rows_of(logits: Tensor, batch: Batch) -> Tensor:
    """The logits of what counts in a batch, one row each, in float32 on the CPU."""
    if logits.ndim > 2:
        logits = logits.flatten(0, 1) if batch.mask is None else logits[batch.mask]
    return logits.float().cpu()


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
        precision: of the teacher's forward pass.
        shard_bytes: what a shard takes, about.
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
        precision: str = "float32",
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.study, self.teacher, self.place = study, teacher, place
        self.form, self.features, self.runtime, self.precision = form, features, runtime, precision
        self.parts = shown(study)
        teacher.watch(list(features))
        self.first = logits_of(self._ask(self.parts[0], list(range(min(8, len(self.parts[0].source)))))[1])
        self.num_classes = int(self.first.shape[-1])
        self.shard_examples = max(1, int(shard_bytes / (rows * form.bytes_of_row(self.num_classes) + 16)))

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
        views = [[_said(each.transform), each.view] for each in changed]
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
            precision=self.precision,
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
        answered = [self._ask(part, numbers) for numbers in _batches(start, stop, part.batch_size)]
        return write_shard(self.place, number, columns_of(answered, self.form, self.features))

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
        return batch, answer(self.teacher, batch, self.runtime.device, self.precision)


def _batches(start: int, stop: int, size: int) -> Iterator[list[int]]:
    for first in range(start, stop, size):
        yield list(range(first, min(first + size, stop)))


def logits_of(outputs: Outputs) -> Tensor:
    """The logits of an answer, computed if they are not yet."""
    logits = outputs.logits if outputs.head is None else outputs.head.whole()
    assert logits is not None
    return logits.detach()


def _said(transform: object) -> str:
    """A transform in words that do not change from call to call."""
    own = type(transform).__repr__ is not object.__repr__ and not hasattr(transform, "__name__")
    return repr(transform) if own else getattr(transform, "__qualname__", type(transform).__qualname__)


def fingerprint(teacher: Teacher, first: Tensor, said: Any = None) -> str:
    """A hash of a teacher's weights, its first answers where it has none, and what a recipe says of it."""
    digest = hashlib.sha256(type(teacher).__name__.encode())
    digest.update(json.dumps(_lasting(said), sort_keys=True, default=str).encode())
    for name, value in sorted(teacher.state_dict().items()):
        if isinstance(value, Tensor):
            digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
            digest.update(_raw(value))
    if not teacher.state_dict():
        digest.update(_raw(first.float()))
    return digest.hexdigest()


def _lasting(said: Any) -> Any:
    """What a recipe says of a teacher, without what leaves its answers as they are: where, and how fast."""
    if isinstance(said, Mapping):
        passing = {"remember", "sharded", "compiled"}
        passing |= {"weights"} if isinstance(said.get("weights"), str) else set()
        return {key: _lasting(held) for key, held in said.items() if key not in passing}
    return [_lasting(held) for held in said] if isinstance(said, list | tuple) else said


def _raw(value: Tensor) -> Any:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
