"""Text that a teacher wrote: Parquet shards under the same records and the same manifest as other answers."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from tutelage.answers.manifest import TEXT, Manifest
from tutelage.answers.places import Place
from tutelage.answers.shards import ShardRecord, put_shard
from tutelage.errors import AnswersError, RecipeError

__all__ = ["Prompt", "Sampling", "Text", "Texts", "holds_text", "write_texts"]

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
class Prompt:
    """What a teacher goes on from.

    Args:
        text: of the prompt.
        length: its tokens.
    """

    text: str
    length: int

    @property
    def key(self) -> str:
        """A hash (XXH3, 128 bits) of the text: prompts that read the same are the same."""
        return xxhash.xxh3_128_hexdigest(self.text.encode())


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn.

    Args:
        tokens: at which a text is cut off, if the teacher has not ended it before.
        sampling_temperature: divides the logits; 0 takes the likeliest token each time.
        top_p: draw from the likeliest tokens that together have this share of the probability.
        seed: of all draws.

    Raises:
        RecipeError: numbers that mean nothing.

    Source: for `top_p`, Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1.

    Example:
        >>> Sampling(tokens=64, sampling_temperature=0.8).form
        'text:64@0.8'
    """

    tokens: int = 64
    sampling_temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise RecipeError(f"texts of {self.tokens} tokens came; expected at least 1")
        if not 0 <= self.sampling_temperature < math.inf:
            raise RecipeError(
                f"a sampling temperature of {self.sampling_temperature} came; expected 0, for the likeliest "
                "text, or a number above"
            )
        if not 0 < self.top_p <= 1:
            raise RecipeError(f"top_p of {self.top_p} came; expected a share above 0, up to 1")
        if self.top_p < 1 and not self.sampling_temperature:
            raise RecipeError("top_p cuts what is drawn, and at temperature 0 nothing is; give a temperature")

    @property
    def form(self) -> str:
        """The form of the answers, as a manifest has it."""
        return f"{TEXT}{self.tokens}@{self.sampling_temperature:g}"


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
        AnswersError: it holds answers that are no text.
    """
    place = Place(url)
    if not place.exists("manifest.json"):
        return False
    try:
        manifest = Manifest.read(place)
    except (AnswersError, TypeError, KeyError, AttributeError):  # somebody else's
        return False
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
    names = [name for name in _COLUMNS if name != "text"]
    for row in parquet.read_table(io.BytesIO(content), columns=names).to_pylist():
        yield Text(**row)
