"""Another source whose labels are read in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from tutelage.data.over import Over
from tutelage.data.sources import Source
from tutelage.types import Batch

__all__ = ["ChangedLabels"]


class ChangedLabels(Over):
    """Another source with labels changed, or made from the rest of a batch.

    Args:
        source: whose examples.
        change: a batch -> its labels. It must not depend on which examples are in a batch together.
    """

    def __init__(self, source: Source, change: Callable[[Batch], Tensor | None]) -> None:
        super().__init__(source)
        self.change = change

    @property
    def labels(self) -> None:
        """Not known before a batch is read."""

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with the changed labels."""
        batch = self.source.batch(numbers)
        return replace(batch, labels=self.change(batch))

    def fingerprint(self) -> str:
        """The whole source's hash; what changes labels is a function of them."""
        return self.source.fingerprint()
