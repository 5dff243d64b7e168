"""A source under other labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tutelage.data.batches import tensors_in
from tutelage.data.over import Over
from tutelage.data.sources import Source
from tutelage.errors import DataError
from tutelage.types import Batch, map_tensors

__all__ = ["Relabelled"]


class Relabelled(Over):
    """Another source whose examples have other labels, such as those of one of several tasks.

    Args:
        source: whose inputs and ids stay.
        labels: by the number of the example within the source: a tensor [len(source)], or a tree of them.

    Raises:
        DataError: there are not as many labels as examples.

    Example:
        >>> from tutelage.data import Examples
        >>> digits = Examples(torch.zeros(3, 2), torch.tensor([7, 4, 1]))
        >>> Relabelled(digits, digits.labels % 2).batch([0, 1]).labels
        tensor([1, 0])
    """

    def __init__(self, source: Source, labels: Any) -> None:
        sizes = {len(held) for held in tensors_in(labels)}
        if sizes != {len(source)}:
            raise DataError(
                f"labels of lengths {sorted(sizes)} came for {len(source)} examples; give each one"
            )
        super().__init__(source)
        self._labels = labels

    @property
    def labels(self) -> Tensor | None:
        """All labels; none of a tree, which cannot be counted by class."""
        return self._labels if isinstance(self._labels, Tensor) else None

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with their other labels."""
        places = torch.as_tensor(numbers, dtype=torch.int64)
        return replace(
            self.source.batch(numbers), labels=map_tensors(self._labels, lambda held: held[places])
        )

    def fingerprint(self) -> str:
        """The source's hash, together with the labels."""
        digest = hashlib.sha256(self.source.fingerprint().encode())
        for held in tensors_in(self._labels):
            digest.update(held.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
