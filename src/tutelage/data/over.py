"""Another source's examples, shown in another way."""

from __future__ import annotations

from torch import Tensor

from tutelage.data.sources import Source

__all__ = ["Over"]


class Over(Source):
    """As many examples as another source has, with its ids, labels and weights, where nothing else is said.

    Args:
        source: whose examples.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.draws = source, source.draws

    def __len__(self) -> int:
        return len(self.source)

    @property
    def labels(self) -> Tensor | None:
        """Those of the source."""
        return self.source.labels

    @property
    def weights(self) -> Tensor | None:
        """Those of the source."""
        return self.source.weights

    def examples_of(self, ids: Tensor) -> Tensor:
        """Those of the source."""
        return self.source.examples_of(ids)
