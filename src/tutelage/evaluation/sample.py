"""The logits that are kept, where those of all items would be too many."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.data import uniform

__all__ = ["Sample"]

_ITEMS = 2048
_BYTES = 2**28


class Sample:
    """Logits of the items whose ids draw the least numbers.

    The draw belongs to the id, so that a student and its teacher keep the same items, in whichever order and
    in whatever batches they were asked.

    Args:
        limited: keep at most 2,048 items, and no more than 256 MB of them; else all.

    Example:
        >>> sample = Sample(limited=False)
        >>> sample.add(torch.eye(2), torch.tensor([7, 8]))
        >>> sample.gathered()[1]
        tensor([0, 1])
    """

    def __init__(self, *, limited: bool) -> None:
        self.limited = limited
        self._seen = 0
        self._bar = torch.inf  # what draws as much is not among the least
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, logits: Float[Tensor, "n c"], ids: Int[Tensor, " n"]) -> None:
        """Look at further items, and keep the logits of some, on the CPU in float32."""
        draws = uniform(ids, seed=0, draw="sample")
        near = draws < self._bar
        places = self._seen + torch.arange(len(ids))
        self._parts.append((draws[near], places[near], logits[near.to(logits.device)].float().cpu()))
        self._seen += len(ids)
        if sum(len(draws) for draws, _, _ in self._parts) > 2 * self._limit:
            self._drop()

    def gathered(self) -> tuple[Float[Tensor, "m c"], Int[Tensor, " m"]]:
        """The logits that were kept, and their items' places among all that were seen, in order."""
        self._drop()
        ((_, places, logits),) = self._parts
        order = places.argsort()
        return logits[order], places[order]

    @property
    def _limit(self) -> int:
        width = self._parts[0][2].shape[1]
        return min(_ITEMS, max(1, _BYTES // (4 * max(1, width)))) if self.limited else self._seen

    def _drop(self) -> None:
        draws, places, logits = (torch.cat(column) for column in zip(*self._parts, strict=True))
        if len(draws) > self._limit:
            least = draws.argsort(stable=True)[: self._limit]
            draws, places, logits = draws[least], places[least], logits[least]
            self._bar = float(draws[-1])
        self._parts = [(draws, places, logits)]
