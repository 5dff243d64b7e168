"""A moving average of the weights, kept beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tutelage.engine.sharding import like

__all__ = ["WeightAverage"]


class WeightAverage:
    """An exponential moving average of every parameter of some modules; buffers are not averaged.

    Args:
        modules: what is averaged, by name.
        decay: the share of the old average that survives an update.
    """

    def __init__(self, modules: Mapping[str, nn.Module], *, decay: float) -> None:
        self._live = list(dict.fromkeys(p for module in modules.values() for p in module.parameters()))
        self.averages: list[Tensor] = [p.detach().clone() for p in self._live]
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the weights of now."""
        self._move(self.averages, [p.detach() for p in self._live], None)

    def of(self, modules: Iterable[nn.Module]) -> list[Tensor]:
        """The averages of some modules' parameters."""
        held = {id(p) for module in modules for p in module.parameters()}
        pairs = zip(self._live, self.averages, strict=True)
        return [average for live, average in pairs if id(live) in held]

    def restore(self, averages: Sequence[Tensor]) -> None:
        """Take up the averages of a checkpoint, which are whole."""
        for average, held in zip(self.averages, averages, strict=True):
            average.copy_(like(held, average))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the block, the modules hold their averages."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the averages in the modules for good."""
        for live, average in zip(self._live, self.averages, strict=True):
            live.copy_(average)

    @torch.no_grad()
    def _swap(self) -> None:
        for live, average in zip(self._live, self.averages, strict=True):
            held = live.detach().clone()
            live.copy_(average)
            average.copy_(held)
