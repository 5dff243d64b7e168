"""Rows of one length, filled with whole documents and parts of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tutelage.data import Source
from tutelage.errors import DataError
from tutelage.evaluation import row_and_position
from tutelage.types import UNLABELLED, Batch

__all__ = ["Rows"]


class Rows(Source):
    """Documents, laid end to end and cut into rows.

    A row holds `input_ids`; `position_ids`, which start at 0 with each document and each row; and
    `documents`, the number of the document within the row, across which nobody may look. The label of a
    position is the next token of its document. The last position of a document and of a row has none, and
    neither has what fills up the last row: there the mask is false.

    Args:
        documents: the tokens of each.
        counts: which tokens of each document are to be learnt; None for all.
        length: positions in a row.
        padding: the token that fills up the last row.
        where: what to call this in messages.

    Raises:
        DataError: rows too short to predict anything, or no document with two tokens.

    Example:
        >>> rows = Rows([np.array([5, 6, 7]), np.array([8, 9])], length=4, padding=0)
        >>> batch = rows.batch([0])
        >>> batch.inputs["input_ids"].tolist(), batch.labels.tolist()
        ([[5, 6, 7, 8]], [[6, 7, -100, -100]])
    """

    def __init__(
        self,
        documents: Sequence[np.ndarray[Any, np.dtype[np.int32]]],
        counts: Sequence[np.ndarray[Any, np.dtype[np.bool_]] | None] | None = None,
        *,
        length: int,
        padding: int,
        where: str = "the text",
    ) -> None:
        if length < 2:
            raise DataError(f"rows of {length} tokens came; expected at least 2, one to predict the other")
        held = [torch.as_tensor(tokens, dtype=torch.int32) for tokens in documents if len(tokens)]
        sizes = torch.tensor([len(tokens) for tokens in held], dtype=torch.int64)
        self.length, self.padding = length, padding
        self.tokens = torch.cat(held) if held else torch.empty(0, dtype=torch.int32)
        self.starts = sizes.cumsum(0) - sizes
        self.counts = _joined(documents, counts)
        self._count = -(-len(self.tokens) // length)
        while self._count and not self._has_labels(self._count - 1):
            self._count -= 1  # what is left over predicts nothing
        if self._count == 0:
            raise DataError(f"{where} has no document of two tokens or more; nothing can be predicted")

    def __len__(self) -> int:
        return self._count

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The rows of these numbers; a row's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        places = ids.unsqueeze(-1) * self.length + torch.arange(self.length)
        documents = self._documents(places)
        first = torch.maximum(self._starts(documents), places[:, :1])
        tokens = self._tokens(places)
        follows = torch.zeros_like(places, dtype=torch.bool)
        follows[:, :-1] = (documents[:, 1:] == documents[:, :-1]) & (places[:, 1:] < len(self.tokens))
        if self.counts is not None:
            after = (places + 1).clamp(max=len(self.counts) - 1)
            follows &= self.counts[after]
        return Batch(
            inputs={
                "input_ids": tokens,
                "position_ids": places - first,
                "documents": documents - documents[:, :1],
            },
            ids=ids,
            labels=torch.where(follows, tokens.roll(-1, dims=1), UNLABELLED),
            mask=follows,
        )

    def examples_of(self, ids: Tensor) -> Tensor:
        """The documents of positions, by the numbers that tell positions apart."""
        rows, positions = row_and_position(ids)
        return self._documents(rows * self.length + positions)

    def fingerprint(self) -> str:
        """The SHA-256 of all tokens, and of where documents and rows begin."""
        digest = hashlib.sha256(f"{self.length} {self.padding} {len(self)}".encode())
        parts = (self.tokens, self.starts, *([] if self.counts is None else [self.counts]))
        for tensor in parts:
            digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def _has_labels(self, number: int) -> bool:
        mask = self.batch([number]).mask
        return mask is not None and bool(mask.any())

    def _tokens(self, places: Int[Tensor, "n length"]) -> Tensor:
        inside = places < len(self.tokens)
        return torch.where(inside, self.tokens[places.clamp(max=len(self.tokens) - 1)].long(), self.padding)

    def _documents(self, places: Int[Tensor, "n length"]) -> Tensor:
        """The number of each place's document; what fills up is one more."""
        number = torch.searchsorted(self.starts, places, right=True) - 1
        return torch.where(places < len(self.tokens), number, len(self.starts))

    def _starts(self, documents: Int[Tensor, "n length"]) -> Tensor:
        return torch.cat([self.starts, torch.tensor([len(self.tokens)])])[documents]


def _joined(
    documents: Sequence[np.ndarray[Any, Any]], counts: Sequence[np.ndarray[Any, Any] | None] | None
) -> Tensor | None:
    """Which tokens count, of all documents; None where all do."""
    if counts is None or all(one is None for one in counts):
        return None
    whole = zip(documents, counts, strict=True)
    return torch.cat(
        [
            torch.ones(len(tokens), dtype=torch.bool) if held is None else torch.as_tensor(held)
            for tokens, held in whole
        ]
    )
