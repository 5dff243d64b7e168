"""How large a network is: its file, and its arithmetic."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["file_bytes", "flops", "layer_by_layer"]


@contextmanager
def layer_by_layer() -> Iterator[None]:
    """Run torch's transformer layers operator by operator, instead of in one that cannot be looked into."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def file_bytes(network: nn.Module) -> int:
    """Size of a network's state dict as a safetensors file; tensors that share their memory count once.

    What safetensors cannot hold (packed quantised weights, extra state that is no tensor) makes it the size
    of a file of `torch.save`.
    """
    state = network.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights"
        if all(isinstance(value, Tensor) and not value.is_quantized for value in state.values()):
            save_file(_without_shared(state), file)
        else:
            torch.save(state, file)
        return file.stat().st_size


def flops(forward: Callable[[], Any]) -> int | None:
    """Floating-point operations of one call; a multiply-add is 2.

    Matrix products, convolutions and attention count; biases, activations, norms, softmax, pooling and
    look-ups do not. Fused kernels that torch's counter does not know (attention, transformer layers, LSTMs)
    are switched off for this call: the counter would take them for zero.

    Args:
        forward: calls the network.

    Returns:
        Operations, or None where the counter knew none of them (a quantised network, say).
    """
    onednn = torch.backends.mkldnn.enabled
    try:
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        with (
            torch.no_grad(),
            layer_by_layer(),
            torch.backends.cudnn.flags(enabled=False),
            sdpa_kernel(SDPBackend.MATH),
            FlopCounterMode(display=False) as counter,
        ):
            forward()
    finally:
        torch.backends.mkldnn.enabled = onednn
    return counter.get_total_flops() or None


def _without_shared(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each view once, under its first name, and in memory of its own."""
    first: dict[tuple[Any, ...], str] = {}
    for name, value in state.items():
        storage = value.untyped_storage()._cdata
        first.setdefault((storage, value.storage_offset(), value.shape, value.stride()), name)
    views = Counter(key[0] for key in first)
    return {
        name: (state[name].clone() if views[key[0]] > 1 else state[name]).contiguous()
        for key, name in first.items()
    }
