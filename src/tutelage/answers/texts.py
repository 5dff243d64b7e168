"""Text that a teacher wrote: Parquet shards under the same records and the same manifest as other answers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tutelage.answers.manifest import ABOUT, Manifest
from tutelage.answers.places import Place
from tutelage.answers.shards import ShardRecord, put_shard
from tutelage.errors import AnswersError
from tutelage.trust import most_unpacked

__all__ = ["Text", "Texts", "holds_text", "write_texts"]

_AT_A_TIME = 256  # texts

_COLUMNS = {
    "key": "string",
    "prompt": "string",
    "text": "string",
    "continuation": "string",
    "sample": "int32",
    "tokens": "int32",
    "finished": "bool_",
}


@dataclass(frozen=True, slots=True)
class Text:
    """What a teacher wrote.

    Args:
        key: of the prompt.
        prompt: what it went on from.
        continuation: what it added.
        sample: the number of this continuation among those of the prompt, from 0.
        tokens: of the continuation, the one that ends it among them.
        finished: the teacher ended it; otherwise it was cut off.
    """

    key: str
    prompt: str
    continuation: str
    sample: int
    tokens: int
    finished: bool

    @property
    def text(self) -> str:
        """What a student trains on."""
        return self.prompt + self.continuation


class Texts:
    """Finished text, for reading.

    Args:
        url: a folder, or a URL that fsspec opens.

    Raises:
        AnswersError: there is none, it is not complete, or it is not text.
    """

    def __init__(self, url: str | Path) -> None:
        self.place = Place(url)
        self.manifest = Manifest.read(self.place)
        if not self.manifest.is_text:
            raise AnswersError(
                f"{self.place.url} holds answers in the form {self.manifest.form}, and text was expected; a "
                "run takes them with --answers, and `tutelage write` makes text"
            )
        if not self.manifest.complete:
            raise AnswersError(
                f"the text at {self.place.url} is not complete; `tutelage write` with the same settings goes "
                "on with it"
            )

    def __len__(self) -> int:
        return self.manifest.examples

    def __iter__(self) -> Iterator[Text]:
        """All texts, in the order of their prompts.

        Raises:
            AnswersError: a shard is missing, or is not as it was written.
        """
        for record in self.manifest.shards:
            yield from _read(self.place, record)


def holds_text(url: str | Path) -> bool:
    """Whether a folder holds answers of ours that are text, complete or not.

    Raises:
        AnswersError: it holds answers that are no text, or answers whose manifest is damaged.
    """
    place = Place(url)
    if not place.exists("manifest.json"):
        return False
    try:
        manifest = Manifest.read(place)
    except (AnswersError, TypeError, KeyError, AttributeError):
        if place.exists(ABOUT):
            raise
        return False  # somebody else's
    if not manifest.is_text:
        raise AnswersError(
            f"{place.url} holds answers in the form {manifest.form}, and no text; a run takes them with "
            "--answers"
        )
    return True


def write_texts(place: Place, number: int, texts: Sequence[Text]) -> ShardRecord:
    """Write a shard, and then its record; both are whole or not there, and the same bytes each time."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    rows: list[dict[str, Any]] = [asdict(one) | {"text": one.text} for one in texts]
    schema = pyarrow.schema([(name, getattr(pyarrow, kind)()) for name, kind in _COLUMNS.items()])
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    tokens = sum(one.tokens for one in texts)
    return put_shard(place, number, sink.getvalue(), ending="parquet", examples=len(texts), rows=tokens)


def _read(place: Place, record: ShardRecord) -> Iterator[Text]:
    from pyarrow import parquet

    content = place.read(record.name) if place.exists(record.name) else b""
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise AnswersError(
            f"{place.url}/{record.name} is missing, or another one than was written; `tutelage write … "
            "--repair` makes it again"
        )
    names, left = [name for name in _COLUMNS if name != "text"], most_unpacked(len(content))
    for batch in parquet.ParquetFile(io.BytesIO(content)).iter_batches(_AT_A_TIME, columns=names):
        for row in batch.to_pylist():
            left -= len(row["prompt"]) + len(row["continuation"]) + len(row["key"])
            if left < 0:
                raise AnswersError(
                    f"{place.url}/{record.name} unpacks to more than {most_unpacked(len(content)):,} "
                    "characters; no text packs like that: it was made to fill a memory"
                )
            yield Text(**row)
