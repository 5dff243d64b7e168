"""Another source whose labels are read in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from tutelage.data.sources import Source
from tutelage.types import Batch

__all__ = ["ChangedLabels"]


class ChangedLabels(Source):
    """Another source with labels changed, or made from the rest of a batch.

    Args:
        source: whose examples.
        change: a batch -> its labels. It must not depend on which examples are in a batch together.
    """

    def __init__(self, source: Source, change: Callable[[Batch], Tensor | None]) -> None:
        self.source, self.change, self.draws = source, change, source.draws

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with the changed labels."""
        batch = self.source.batch(numbers)
        return replace(batch, labels=self.change(batch))

    def examples_of(self, ids: Tensor) -> Tensor:
        """Those of the whole source."""
        return self.source.examples_of(ids)

    def fingerprint(self) -> str:
        """The whole source's hash; what changes labels is a function of them."""
        return self.source.fingerprint()
