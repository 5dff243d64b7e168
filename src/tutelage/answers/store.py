"""A teacher's answers in a folder: a manifest, and shards that are found by what the teacher was shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tutelage.answers.forms import form_of
from tutelage.answers.places import Place
from tutelage.answers.shards import Shard, ShardRecord, damage, read_record
from tutelage.data import keys_of
from tutelage.errors import AnswersError
from tutelage.types import Batch, Outputs, SparseLogits

__all__ = ["ABOUT", "Answers", "Manifest"]

_FORMAT = "tutelage.answers.1"
_MANIFEST = "manifest.json"
ABOUT = "about.json"
"""What else is known of answers; it differs from one labelling to the next."""


@dataclass(frozen=True)
class Manifest:
    """What a store holds, and of whom.

    Args:
        teacher: a fingerprint of the teacher.
        data: name of a split -> its fingerprint.
        views: how training examples were changed, and the seeds of the views that were shown; empty where
            they were shown as they are.
        planned: how many answers there will be.
        shard_examples: how many of them a shard holds, before it is brought to whole batches.
        precision: of the teacher's forward passes.
        form: how logits are kept, as `form_of` reads it.
        num_classes: the width of the logits.
        features: layer -> dtype of what is kept of it.
        num_shards: how many there will be.
        examples, rows, nbytes: of all shards, once it is complete.
        shards: their records, once it is complete.
    """

    teacher: str
    data: Mapping[str, str]
    form: str
    num_classes: int
    num_shards: int
    views: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)
    planned: int = 0
    shard_examples: int = 0
    precision: str = "float32"
    examples: int = 0
    rows: int = 0
    nbytes: int = 0
    shards: Sequence[ShardRecord] = ()

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return len(self.shards) == self.num_shards

    def begin(self, place: Place) -> None:
        """Put the manifest where the answers will be, or take up what is there.

        Raises:
            AnswersError: answers of another teacher, other data or another form lie there.
        """
        if place.exists(_MANIFEST):
            held = Manifest.read(place)
            ours = self.promise()
            differ = [name for name, value in held.promise().items() if value != ours[name]]
            if differ:
                raise AnswersError(
                    f"{place.url} holds other answers: they differ in {', '.join(differ)}; choose another "
                    "folder (--out), or delete that one"
                )
            return
        self._write(place)

    def finish(self, place: Place) -> Manifest:
        """List the shards, now that all are there.

        Raises:
            AnswersError: some are missing.
        """
        found = [read_record(place, number) for number in range(self.num_shards)]
        records = [record for record in found if record is not None]
        if len(records) < self.num_shards:
            missing = [number for number, record in enumerate(found) if record is None]
            raise AnswersError(f"{place.url} lacks shards {missing[:8]}; label again to go on")
        examples = sum(record.examples for record in records)
        if self.planned not in (0, examples):
            raise AnswersError(
                f"{place.url} holds {examples:,} answers where {self.planned:,} were planned: shards of "
                "another plan lie among them; delete it, and label again"
            )
        whole = replace(
            self,
            shards=records,
            examples=sum(record.examples for record in records),
            rows=sum(record.rows for record in records),
            nbytes=sum(record.nbytes for record in records),
        )
        whole._write(place)
        return whole

    def promise(self) -> dict[str, Any]:
        """What was said before the first answer: the same for those who go on with it."""
        counted = ("examples", "rows", "nbytes", "shards")
        names = [one.name for one in fields(self) if one.name not in counted]
        return json.loads(json.dumps({name: getattr(self, name) for name in names}))  # type: ignore[no-any-return]

    def _write(self, place: Place) -> None:
        held = asdict(replace(self, shards=list(self.shards)))
        place.write(_MANIFEST, (json.dumps({"format": _FORMAT} | held, indent=1) + "\n").encode())

    @staticmethod
    def read(place: Place) -> Manifest:
        """The manifest of a folder.

        Raises:
            AnswersError: there is none, or it is not ours.
        """
        try:
            held = json.loads(place.read(_MANIFEST))
        except OSError as error:
            raise AnswersError(
                f"there are no answers at {place.url} (no {_MANIFEST}); `tutelage label` makes them"
            ) from error
        except ValueError as error:
            raise AnswersError(
                f"{place.url}/{_MANIFEST} is damaged ({error}); restore it from a copy"
            ) from error
        if held.pop("format", None) != _FORMAT:
            raise AnswersError(f"{place.url}/{_MANIFEST} is not of the format {_FORMAT}; label again")
        return Manifest(**held | {"shards": [ShardRecord(**record) for record in held["shards"]]})


class Answers:
    """Finished answers, for reading.

    Args:
        url: a folder, or a URL that fsspec opens.

    Raises:
        AnswersError: there are none, they are not complete, or a shard is not whole.
    """

    def __init__(self, url: str | Path) -> None:
        self.place = Place(url)
        self.manifest = Manifest.read(self.place)
        if not self.manifest.complete:
            raise AnswersError(
                f"the answers at {self.place.url} are not complete; `tutelage label` with the same settings "
                "goes on with them"
            )
        self.form = form_of(self.manifest.form)
        self.layers = tuple(self.manifest.features)

    def __len__(self) -> int:
        return self.manifest.examples

    @cached_property
    def shards(self) -> list[Shard]:
        """The shards, mapped into memory."""
        return [
            Shard(self.place.path(record.name, sha256=record.sha256), self.form, self.manifest.num_classes)
            for record in self.manifest.shards
        ]

    @cached_property
    def about(self) -> dict[str, Any]:
        """What else was noted: the teacher's size, speed and training, the errors that were measured."""
        return json.loads(self.place.read(ABOUT)) if self.place.exists(ABOUT) else {}

    def damaged(self) -> list[str]:
        """What is wrong with the files, one line for each shard that is; empty where all are as written."""
        found = (damage(self.place, record) for record in self.manifest.shards)
        return [line for line in found if line is not None]

    def outputs(self, batch: Batch) -> Outputs:
        """The answer to a batch.

        Raises:
            AnswersError: an example was never answered, or has other inputs or another mask than then.
        """
        shard, place = self._find(keys_of(batch), batch)
        order = torch.argsort(shard, stable=True)
        picked = [
            self.shards[number].pick(place[order[shard[order] == number]]) for number in _distinct(shard)
        ]
        columns = _joined(picked)
        back = torch.argsort(order)
        features = {
            name.partition(".")[2]: value[back].to(batch.ids.device)
            for name, value in columns.items()
            if name.startswith("feature.")
        }
        held = {
            name.partition(".")[2]: value for name, value in columns.items() if name.startswith("logits.")
        }
        answer = self.form.decode(held, self.manifest.num_classes)
        answer = _ordered(answer, back, columns.get("rows"), batch)
        answered = columns["answered"][back].to(batch.ids.device)
        mask = None if bool(answered.all()) else answered
        if isinstance(answer, SparseLogits):
            return Outputs(sparse=answer, features=features, mask=mask)
        return Outputs(logits=answer, features=features, mask=mask)

    @cached_property
    def _index(self) -> tuple[np.ndarray[Any, Any], Tensor, Tensor]:
        """The first words of all keys, sorted; and the shard and the place of each."""
        keys = [shard.columns["keys"] for shard in self.shards]
        words = np.concatenate([held[:, 0].numpy() for held in keys])
        order = np.argsort(words, kind="stable")
        shard = torch.repeat_interleave(torch.arange(len(keys)), torch.tensor([len(held) for held in keys]))
        place = torch.cat([torch.arange(len(held)) for held in keys])
        return words[order], shard[order], place[order]

    def _find(self, keys: Int[Tensor, "n 2"], batch: Batch) -> tuple[Tensor, Tensor]:
        words, shards, places = self._index
        first = np.minimum(np.searchsorted(words, keys[:, 0].numpy()), len(words) - 1)
        shard, place = shards[first], places[first]
        found = torch.from_numpy(words[first]) == keys[:, 0]
        for number in _distinct(shard):
            mine = shard == number
            second = self.shards[number].columns["keys"][place[mine], 1]
            found[mine] &= second == keys[mine, 1]
        if not bool(found.all()):
            raise self._unknown(batch, ~found)
        return shard, place

    def _unknown(self, batch: Batch, lost: Tensor) -> AnswersError:
        ids = batch.ids.cpu()[lost].tolist()
        said = ", ".join(map(str, ids[:5])) + (" …" if len(ids) > 5 else "")
        views = "views drawn at random" if self.manifest.views else "examples as they are"
        return AnswersError(
            f"{len(ids)} of {len(batch)} examples (ids {said}) have no answer at {self.place.url}: it holds "
            f"answers to {views}, found by their content. If their inputs are changed on the way "
            "(augmentation, another preprocessing, more epochs or other seeds than were labelled), label "
            "again with the recipe as it is now"
        )


def _distinct(shards: Tensor) -> list[int]:
    return sorted(set(shards.tolist()))


def _joined(picked: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    if len(picked) == 1:
        return dict(picked[0])

    def cat(parts: list[Tensor]) -> Tensor:
        if parts[0].dtype == torch.uint16:
            return torch.cat([part.view(torch.int16) for part in parts]).view(torch.uint16)
        return torch.cat(parts)

    return {name: cat([part[name] for part in picked]) for name in picked[0]}


def _ordered(
    answer: Tensor | SparseLogits, back: Tensor, rows: Tensor | None, batch: Batch
) -> Tensor | SparseLogits:
    """Rows in the batch's order, and at their positions where the answers are sequences."""
    device = batch.ids.device
    if rows is None:
        return _each(answer, lambda held, _: held[back].to(device))
    mask = batch.mask if batch.mask is not None else _all_there(rows, batch)
    counts, held = mask.sum(1).cpu(), rows[back]
    asked = counts > 0  # a process without work of its own has a batch in which nothing counts
    if not torch.equal(held[asked], counts[asked]):
        raise AnswersError(
            f"the mask of a batch leaves {counts.tolist()[:4]} … positions where {held.tolist()[:4]} … were "
            "answered; label again with the recipe as it is now"
        )
    starts = (rows.cumsum(0) - rows)[back]
    spread = torch.arange(int(counts.sum())) + (starts - counts.cumsum(0) + counts).repeat_interleave(counts)

    def at_positions(held: Tensor, empty: float) -> Tensor:
        whole = torch.full((*mask.shape, *held.shape[1:]), empty, dtype=held.dtype, device=device)
        whole[mask] = held[spread].to(device)
        return whole

    return _each(answer, at_positions)


def _all_there(rows: Tensor, batch: Batch) -> Tensor:
    return torch.ones(len(batch), int(rows.max()), dtype=torch.bool, device=batch.ids.device)


def _each(answer: Tensor | SparseLogits, change: Any) -> Tensor | SparseLogits:
    """The tensors of an answer, changed; the second argument is what stands where there is nothing."""
    if isinstance(answer, Tensor):
        return change(answer, 0.0)  # type: ignore[no-any-return]
    return replace(
        answer,
        classes=change(answer.classes, 0),
        scores=change(answer.scores, -torch.inf),
        tails={temperature: change(tail, 0.0) for temperature, tail in answer.tails.items()},
    )
