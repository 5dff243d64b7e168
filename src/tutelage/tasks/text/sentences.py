"""Texts of unequal lengths, filled up batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
import xxhash
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tutelage.data import Source, Subset
from tutelage.data.sources import bytes_of
from tutelage.errors import DataError
from tutelage.tasks.text.words import WordList
from tutelage.types import Batch

__all__ = ["Sentences", "filled", "keys_of_tokens", "sentences_in"]


class Sentences(Source):
    """Texts, or pairs of them, with one label each.

    A batch holds `input_ids`, filled up on the right to its own longest text; `attention_mask`, 0 where it is
    filled up; and of pairs `token_type_ids`, 1 at the second text. Its keys are those of the tokens alone, so
    that an answer is found whichever texts stand beside it.

    Args:
        texts: as they were written.
        pairs: what each stands beside, or None.
        labels: classes [n], or values [n, 1].
        where: what to call this in messages.

    Raises:
        DataError: no text.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Tensor | None,
        *,
        pairs: Sequence[str] | None = None,
        where: str = "the data",
    ) -> None:
        if not texts:
            raise DataError(f"{where} is empty; at least one text is needed")
        self.texts, self.pairs, self.where = list(texts), None if pairs is None else list(pairs), where
        self._labels = labels
        self.padding = 0
        self.tokens: list[Tensor] = []
        self.kinds: list[Tensor] | None = None
        self.keys = torch.empty(0, 2, dtype=torch.int64)

    def read_with(self, words: WordList, *, length: int) -> None:
        """Turn the texts into tokens.

        Args:
            words: the tokenizer.
            length: the most tokens of a text, or of a text and its pair, the special ones included.
        """
        if length < 4:
            raise DataError(f"length came as {length} tokens; expected at least 4, two of them special")
        tokens, kinds = words.encode(self.texts, self.pairs, length=length)
        self.padding = words.padding
        self.tokens = [torch.tensor(held, dtype=torch.int64) for held in tokens]
        self.kinds = None if kinds is None else [torch.tensor(held, dtype=torch.int64) for held in kinds]
        self.keys = keys_of_tokens(self.tokens, self.kinds)

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labels(self) -> Tensor | None:
        """All classes; none where labels are values."""
        held = self._labels
        return None if held is None or held.is_floating_point() else held

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The texts of these numbers; a text's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        inputs = filled([self.tokens[number] for number in ids.tolist()], self.padding)
        if self.kinds is not None:
            inputs["token_type_ids"] = pad_sequence([self.kinds[n] for n in ids.tolist()], batch_first=True)
        labels = None if self._labels is None else self._labels[ids]
        return Batch(inputs=inputs, ids=ids, labels=labels, keys=self.keys[ids])

    def fingerprint(self) -> str:
        """The SHA-256 of the tokens of all texts, and of the labels."""
        digest = hashlib.sha256(bytes_of(self.keys))
        if self._labels is not None:
            digest.update(bytes_of(self._labels))
        return digest.hexdigest()


def sentences_in(part: Source) -> tuple[list[str], list[str]]:
    """The texts of a part of the data, and what stands beside them."""
    if isinstance(part, Sentences):
        return part.texts, part.pairs or []
    if not isinstance(part, Subset):
        raise TypeError(f"a part of texts came as {type(part).__name__}")
    texts, pairs = sentences_in(part.source)
    numbers = part.numbers.tolist()
    return [texts[n] for n in numbers], [pairs[n] for n in numbers] if pairs else []


def filled(tokens: Sequence[Tensor], padding: int) -> dict[str, Tensor]:
    """Texts as one batch, filled up on the right to the longest.

    Args:
        tokens: of each text.
        padding: what fills up.

    Example:
        >>> filled([torch.tensor([5, 6, 7]), torch.tensor([8])], padding=0)["attention_mask"]
        tensor([[1, 1, 1],
                [1, 0, 0]])
    """
    return {
        "input_ids": pad_sequence(list(tokens), batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in tokens], batch_first=True),
    }


def keys_of_tokens(tokens: Sequence[Tensor], kinds: Sequence[Tensor] | None = None) -> Tensor:
    """A key of 128 bits for each text, of its tokens alone: int64 [n, 2]."""
    found = np.empty((len(tokens), 2), dtype="<i8")
    for number, held in enumerate(tokens):
        content = bytes_of(held) + (b"" if kinds is None else b"/" + bytes_of(kinds[number]))
        found[number] = np.frombuffer(xxhash.xxh3_128_digest(content), dtype="<i8")
    return torch.from_numpy(found)
