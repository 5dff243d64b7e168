"""A moving average of the weights, kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tutelage.engine.sharding import like

__all__ = ["WeightAverage"]


def _nothing() -> None:
    """What shows networks nothing."""


class WeightAverage:
    """An exponential moving average of every parameter of some modules.

    Buffers are not averaged. The statistics of batch norms belong to the weights that they were gathered
    with, so they are gathered anew, by `show`, wherever averages stand in the modules.

    Args:
        modules: what is averaged, by name.
        decay: the share of the old average that survives an update.
        show: shows the networks some batches, in training mode and without a gradient.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], *, decay: float, show: Callable[[], None] = _nothing
    ) -> None:
        self._norms = [
            layer
            for module in modules.values()
            for layer in module.modules()
            if isinstance(layer, _BatchNorm) and layer.track_running_stats
        ]
        self._show = show
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
        held = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in self._norms]
        self._swap()
        try:
            self._gather()
            yield
        finally:
            self._swap()
            for layer, buffers in zip(self._norms, held, strict=True):
                for name, buffer in layer.named_buffers():
                    buffer.copy_(buffers[name])

    @torch.no_grad()
    def settle(self) -> None:
        """Leave the averages in the modules for good."""
        for live, average in zip(self._live, self.averages, strict=True):
            live.copy_(average)
        self._gather()

    @torch.no_grad()
    def _gather(self) -> None:
        """Gather the statistics of batch norms with the weights of now: plain means over what is shown."""
        if not self._norms:
            return
        momenta = [layer.momentum for layer in self._norms]
        for layer in self._norms:
            layer.reset_running_stats()
            layer.momentum = None
        try:
            self._show()
        finally:
            for layer, momentum in zip(self._norms, momenta, strict=True):
                layer.momentum = momentum

    @torch.no_grad()
    def _swap(self) -> None:
        for live, average in zip(self._live, self.averages, strict=True):
            held = live.detach().clone()
            live.copy_(average)
            average.copy_(held)
