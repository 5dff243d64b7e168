"""The greatest amount of memory that one forward pass holds at once."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tutelage.evaluation.size import layer_by_layer

__all__ = ["LiveStorages", "peak_memory"]


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follow the storages that operators make while this mode is on: what is live now, and the peak.

    Each storage counts once, however many views it has, from the operator that returns it until Python
    and torch let go of it. Scratch space inside an operator is not seen. The same forward gives the same
    number on any machine.

    Args:
        known: tensors that were there before; they and their views do not count.
    """

    live: int
    peak: int

    def __init__(self, known: Iterator[Tensor] | Sequence[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run the operator, and count the storages it made."""
        results = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(results):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
                self._count(leaf.untyped_storage())
        return results

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._forget, key, storage.nbytes()).atexit = False

    def _forget(self, key: int, nbytes: int) -> None:
        self._known.discard(key)
        self.live -= nbytes


def peak_memory(
    network: nn.Module, inputs: Any, forward: Callable[[], Any], *, device: torch.device
) -> int | None:
    """Bytes of weights, buffers, inputs and the peak of live activations during one forward pass.

    Args:
        network: whose parameters and buffers count; shared storages count once.
        inputs: what `forward` reads.
        forward: calls the network on the inputs.
        device: where both are. On CUDA its own allocator is asked (its rounding and the kernels' workspace
            are in the number, and its peak counter is reset); on a CPU storages are followed.

    Returns:
        Bytes, or None on a device where neither is possible.
    """
    held = [*itertools.chain(network.parameters(), network.buffers())]
    held += [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    there = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in held}
    if device.type == "cpu":
        storages = LiveStorages(held)
        with torch.inference_mode(), layer_by_layer(), storages:
            forward()
        return sum(there.values()) + storages.peak
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        with torch.inference_mode():
            forward()
        torch.cuda.synchronize(device)
        peak: int = torch.cuda.max_memory_allocated(device)
        return sum(there.values()) + peak - before
    return None
