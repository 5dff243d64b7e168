"""A shard: the answers to some examples in one safetensors file, and a record beside it that says so.

The file has a row for each example in `keys`, in `answered` (false where the teacher refused) and in each
`feature.<layer>`. Where an answer is a sequence,
`rows[i] … rows[i + 1]` are its rows in the columns `logits.*`; otherwise example i has row i. In a ragged
column `reach[i] … reach[i + 1]` are its entries. The record is written after the file, so that a shard
without one was not finished.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tutelage.answers.forms import Form
from tutelage.answers.places import PACKED, Place
from tutelage.data import keys_of
from tutelage.errors import AnswersError, ModelError
from tutelage.files import seal, unseal
from tutelage.trust import inside, parse_json, read_sha256
from tutelage.types import Batch, Outputs

__all__ = [
    "Shard",
    "ShardRecord",
    "checked_record",
    "columns_of",
    "damage",
    "put_shard",
    "read_record",
    "write_shard",
]


LEVEL = 6
"""Of gzip; a higher one takes much longer and saves little."""


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What is known of a finished shard.

    Args:
        name: of its file.
        examples, rows: how many it holds; a sequence has several rows.
        nbytes: of the file.
        sha256: of the file.
    """

    name: str
    examples: int
    rows: int
    nbytes: int
    sha256: str


def columns_of(
    answered: Iterable[tuple[Batch, Outputs]], form: Form, features: Mapping[str, torch.dtype]
) -> dict[str, Tensor]:
    """Answers as the columns of a shard.

    Args:
        answered: batches and what the teacher said about them; of each only the columns are held.
        form: how logits are kept.
        features: the layers to keep, and in which dtype.
    """
    parts = [_part(batch, outputs, form, features) for batch, outputs in answered]
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if "rows" in columns:
        columns["rows"] = _offsets(columns["rows"])
    if form.ragged:
        columns["reach"] = _reach(columns)
    return columns


def _part(
    batch: Batch, outputs: Outputs, form: Form, features: Mapping[str, torch.dtype]
) -> dict[str, Tensor]:
    logits = outputs.logits if outputs.head is None else outputs.head.whole()
    if logits is None:
        raise ModelError("the teacher answers without logits, and logits are what is stored; ask another one")
    keys = keys_of(batch)
    columns = {"keys": keys, "answered": _answered(outputs, len(batch))}
    logits = logits.detach().float().cpu()
    if logits.ndim > 2:
        there = torch.ones(logits.shape[:2], dtype=torch.bool) if batch.mask is None else batch.mask.cpu()
        columns["rows"] = there.sum(1)
        names = (keys[:, :1] + torch.arange(there.shape[1]) * 0x9E3779B97F4A7C15)[there]
        logits = logits[there]
    else:
        names = keys[:, 0]
    columns |= {f"logits.{name}": value for name, value in form.encode(logits, names).items()}
    for layer, dtype in features.items():
        columns[f"feature.{layer}"] = outputs.features[layer].detach().to("cpu", dtype)
    return columns


def _answered(outputs: Outputs, size: int) -> Tensor:
    """True for each example that the teacher did not refuse."""
    if outputs.mask is None:
        return torch.ones(size, dtype=torch.bool)
    if outputs.mask.ndim > 1:
        raise ModelError(
            "the teacher refuses single positions, and stored answers know refused examples only; train with "
            "it as it is"
        )
    return outputs.mask.cpu()


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts]).cumsum(0)


def _reach(columns: Mapping[str, Tensor]) -> Tensor:
    """Where each example's entries of a ragged column begin."""
    begins = _offsets(columns["logits.known"].long())
    return begins[columns["rows"]] if "rows" in columns else begins


def write_shard(
    place: Place, number: int, columns: Mapping[str, Tensor], *, compressed: bool = False
) -> ShardRecord:
    """Write a shard, and then its record; both are whole or not there.

    Args:
        place: where.
        number: of the shard.
        columns: what is in it.
        compressed: by gzip, the same bytes each time.
    """
    content = save({name: value.contiguous() for name, value in sorted(columns.items())})
    if compressed:
        content = gzip.compress(content, LEVEL, mtime=0)
    rows = int(columns["rows"][-1]) if "rows" in columns else len(columns["keys"])
    ending = f"safetensors{PACKED if compressed else ''}"
    return put_shard(place, number, content, ending=ending, examples=len(columns["keys"]), rows=rows)


def put_shard(
    place: Place, number: int, content: bytes, *, ending: str, examples: int, rows: int
) -> ShardRecord:
    """Put the file of a shard in its place, and then its record.

    Args:
        place: where.
        number: of the shard.
        content: of the file.
        ending: of its name.
        examples, rows: how many it holds.
    """
    name, digest = f"shards/{number:06}.{ending}", hashlib.sha256(content).hexdigest()
    record = ShardRecord(name, examples, rows, len(content), digest)
    place.write(record.name, content)
    place.write(_record(number), json.dumps(seal(asdict(record))).encode())
    return record


def read_record(place: Place, number: int) -> ShardRecord | None:
    """The record of a finished shard; None where there is none, or not a whole one."""
    if not place.exists(_record(number)):
        return None
    try:
        return checked_record(unseal(parse_json(place.read(_record(number)))), place.url)
    except ValueError:
        return None


def checked_record(record: Any, where: str) -> ShardRecord:
    """A record from a file: its name lies below the folder, and its numbers are some.

    Raises:
        AnswersError: one of its values is another.
    """
    try:
        found = ShardRecord(**record)
    except TypeError as error:
        raise AnswersError(f"{where} lists a file in a form of another version: {error}") from error
    inside(found.name, f"{where}: the name of a file", AnswersError)
    read_sha256(found.sha256, f"{where}: the checksum of {found.name}", AnswersError)
    if not all(type(each) is int and each >= 0 for each in (found.examples, found.rows, found.nbytes)):
        raise AnswersError(f"{where} lists {found.name} with counts that are none; restore it from a copy")
    return found


def damage(place: Place, record: ShardRecord, *, size_alone: bool = False) -> str | None:
    """What is wrong with a shard's file, or None.

    Args:
        place: where it lies.
        record: what was written.
        size_alone: do not read it.
    """
    if not place.exists(record.name):
        return f"{record.name} is missing"
    if (size := place.size(record.name)) != record.nbytes:
        return f"{record.name} has {size:,} bytes and should have {record.nbytes:,}"
    if not size_alone and hashlib.sha256(place.read(record.name)).hexdigest() != record.sha256:
        return f"{record.name} is damaged: its SHA-256 is another one than when it was written"
    return None


class Shard:
    """A finished shard, mapped into memory: what is not read stays on disk.

    Args:
        path: its file.
        form: how its logits are kept.
        num_classes: how many classes there are.
    """

    def __init__(self, path: Path, form: Form, num_classes: int) -> None:
        self.path, self.form, self.num_classes = path, form, num_classes

    @cached_property
    def columns(self) -> dict[str, Tensor]:
        """The columns, by name."""
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise AnswersError(
                f"the answers in {self.path} cannot be read ({error}); `tutelage label … --repair` makes the "
                "shard again"
            ) from error

    def pick(self, places: Int[Tensor, " some"]) -> dict[str, Tensor]:
        """The columns of some examples; in place of `rows`, how many rows each has."""
        columns, picked = self.columns, {}
        rows = places
        if "rows" in columns:
            starts, ends = columns["rows"][places], columns["rows"][places + 1]
            picked["rows"], rows = ends - starts, _spans(starts, ends)
        entries = rows
        if "reach" in columns:
            entries = _spans(columns["reach"][places], columns["reach"][places + 1])
        for name, column in columns.items():
            kind, _, rest = name.partition(".")
            if kind == "logits":
                picked[name] = _take(column, entries if rest in self.form.ragged else rows)
            elif kind in ("feature", "answered"):
                picked[name] = _take(column, places)
        return picked


def _spans(starts: Tensor, ends: Tensor) -> Tensor:
    """start … end − 1 of each, one after the other."""
    lengths = ends - starts
    return torch.arange(int(lengths.sum())) + (starts - (lengths.cumsum(0) - lengths)).repeat_interleave(
        lengths
    )


def _take(column: Tensor, rows: Tensor) -> Tensor:
    if column.dtype == torch.uint16:  # has no indexing of its own
        return column.view(torch.int16)[rows].view(torch.uint16)
    return column[rows]


def _record(number: int) -> str:
    return f"shards/{number:06}.json"
