"""The training documents one by one: as rows of a data set, and as a network is asked about each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.selected import row_of
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.types import UNLABELLED, Batch

__all__ = ["Corpus"]


@dataclass(frozen=True)
class _Window:
    """Some tokens of a document, of which the second and on are predicted where they count."""

    owner: int
    tokens: Sequence[int]
    counts: Sequence[bool]


class Corpus:
    """Documents in their order.

    Args:
        texts: the documents.
        words: the tokenizer.
        length: the longest window that a network is shown.
    """

    def __init__(self, texts: Sequence[str], words: Vocabulary, length: int) -> None:
        self.texts, self.words, self.length = texts, words, length

    def __len__(self) -> int:
        return len(self.texts)

    def row(self, number: int) -> dict[str, Any]:
        """A document as a row of a data set."""
        return row_of(self.texts[number])

    def fingerprint(self) -> str:
        """The SHA-256 of all documents, and of how they are shown."""
        digest = hashlib.sha256(f"{self.length} {len(self.words)} {self.words.end}".encode())
        for number in range(len(self)):
            digest.update(json.dumps(self.row(number), sort_keys=True).encode())
        return digest.hexdigest()

    def network(self, path: str) -> nn.Module:
        """A trained network that reads these documents' tokens.

        Args:
            path: a folder, a GGUF file or a name on the hub.

        Raises:
            CheckpointError, ModelError: it cannot be read, or reads other tokens.
        """
        return transformers_causal(
            path=path, vocabulary=len(self.words), length=self.length, words=self.words
        )

    def batches(self, numbers: Sequence[int], *, rows: int) -> Iterator[tuple[Batch, Tensor]]:
        """Batches that ask about some documents, each from its start, whoever its neighbours are.

        A document longer than a window is cut into several that share a token, so that each token but its
        first is predicted once.

        Args:
            numbers: of the documents.
            rows: at most, in a batch.

        Returns:
            the batches, each with the place in `numbers` of each position's document, shape [n, length]; -1
            where nothing is predicted.
        """
        packed = self._packed([self.texts[number] for number in numbers])
        for start in range(0, len(packed), rows):
            yield self._batch(packed[start : start + rows], start)

    def _packed(self, texts: Sequence[str]) -> list[list[_Window]]:
        """Windows in their order, as many in a row as fit."""
        found: list[list[_Window]] = []
        left = 0
        for window in self._windows(texts):
            if len(window.tokens) > left:
                found.append([])
                left = self.length
            found[-1].append(window)
            left -= len(window.tokens)
        return found

    def _windows(self, texts: Sequence[str]) -> Iterator[_Window]:
        for owner, (tokens, counts) in enumerate(zip(*self.words.read(texts), strict=True)):
            held = [True] * len(tokens) if counts is None else [bool(one) for one in counts]
            for start in range(0, len(tokens) - 1, self.length - 1):
                part = slice(start, start + self.length)
                yield _Window(owner, tokens[part].tolist(), held[part])

    def _batch(self, packed: Sequence[Sequence[_Window]], first: int) -> tuple[Batch, Tensor]:
        shape = (len(packed), self.length)
        tokens = torch.full(shape, self.words.end)
        positions, documents = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
        labels, owners = torch.full(shape, UNLABELLED), torch.full(shape, -1)
        for row, windows in enumerate(packed):
            place = 0
            for number, window in enumerate(windows):
                inside = slice(place, place + len(window.tokens))
                place = inside.stop
                tokens[row, inside] = torch.tensor(window.tokens)
                positions[row, inside] = torch.arange(len(window.tokens))
                documents[row, inside] = number
                asked = slice(inside.start, inside.stop - 1)
                counts = torch.tensor(window.counts[1:])
                labels[row, asked] = tokens[row, inside][1:].where(counts, UNLABELLED)
                owners[row, asked] = torch.where(counts, window.owner, -1)
            documents[row, place:] = len(windows)
            positions[row, place:] = torch.arange(self.length - place)
        inputs = {"input_ids": tokens, "position_ids": positions, "documents": documents}
        ids = torch.arange(first, first + len(packed))
        return Batch(inputs, ids, labels, labels != UNLABELLED), owners
