"""A teacher's answers in a folder: shards that are searched by what the teacher was shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tutelage.answers.forms import form_of
from tutelage.answers.manifest import Manifest, read_about
from tutelage.answers.places import Place
from tutelage.answers.shards import Shard, damage
from tutelage.data import keys_of
from tutelage.errors import AnswersError
from tutelage.types import Batch, Outputs, SparseLogits

__all__ = ["Answers"]


class Answers:
    """Finished answers, for reading.

    Every shard is read once when the first answer is asked for, and held against the checksum in the
    manifest; damage that came later would otherwise be learnt.

    Args:
        url: a folder, or a URL that fsspec opens.
        trusted: leave the checksums be, and look at sizes alone: for stores too large to be read twice.

    Raises:
        AnswersError: there are none, they are not complete, or a shard is not whole.
    """

    def __init__(self, url: str | Path, *, trusted: bool = False) -> None:
        self.place, self.trusted = Place(url), trusted
        self.manifest = Manifest.read(self.place)
        if self.manifest.is_text:
            raise AnswersError(
                f"{self.place.url} holds text that a teacher wrote, and no logits; students train on it "
                "as data: leave --answers out, and set task.data={train: …} to it"
            )
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
        """The shards, mapped into memory.

        Raises:
            AnswersError: one is missing, or is not as it was written.
        """
        copied = self.place.local is None  # and held against its checksum then
        wrong = self.damaged(sizes_alone=self.trusted or copied)
        if wrong:
            raise AnswersError(
                f"{len(wrong)} of {len(self.manifest.shards)} files of {self.place.url} are not as they were "
                f"written: {wrong[0]}; "
                "`tutelage label … --repair` makes them again"
            )
        return [
            Shard(self.place.path(record.name, sha256=record.sha256), self.form, self.manifest.num_classes)
            for record in self.manifest.shards
        ]

    @cached_property
    def about(self) -> dict[str, Any]:
        """What else was noted: the teacher's size, speed and training, the errors that were measured."""
        return read_about(self.place)

    def damaged(self, *, sizes_alone: bool = False) -> list[str]:
        """What is wrong with the files, one line for each shard that is; empty where all are as written."""
        found = (damage(self.place, record, size_alone=sizes_alone) for record in self.manifest.shards)
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
