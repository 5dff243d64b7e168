"""Another source whose labels are hidden."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.data.over import Over
from tutelage.data.sources import Source, bytes_of
from tutelage.types import UNLABELLED, Batch

__all__ = ["Unlabelled"]


class Unlabelled(Over):
    """Another source whose labels are hidden, except for some of its examples."""

    def __init__(self, source: Source, labelled: Sequence[int] = ()) -> None:
        super().__init__(source)
        self.keeps = torch.zeros(len(source), dtype=torch.bool)
        self.keeps[torch.as_tensor(labelled, dtype=torch.int64)] = True

    @property
    def labels(self) -> Tensor | None:
        """The labels, `UNLABELLED` where they are hidden."""
        held = self.source.labels
        return None if held is None else torch.where(self.keeps, held, UNLABELLED)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with the labels that may be seen."""
        batch = self.source.batch(numbers)
        if batch.labels is None:
            return batch
        kept = self.keeps[torch.as_tensor(numbers, dtype=torch.int64)]
        return replace(batch, labels=torch.where(kept, batch.labels, UNLABELLED))

    def fingerprint(self) -> str:
        """The whole source's hash, together with what is hidden."""
        return hashlib.sha256(self.source.fingerprint().encode() + bytes_of(self.keeps)).hexdigest()
