"""Weights that lie in memory of other layers too: tied ones, and views."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["shared_layers"]


def shared_layers(network: nn.Module) -> dict[str, str]:
    """Layers that share memory of their weights with another layer -> that one, both by path.

    A change of one would tear them apart, or change the other too.

    Args:
        network: any module.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
        >>> network[2].weight = network[0].weight
        >>> shared_layers(network)
        {'2': '0', '0': '2'}
    """
    pieces = sorted(
        (*_piece(value), path)
        for path, module in network.named_modules()
        for value in module._parameters.values()
        if value is not None and value.numel() and value.data_ptr()
    )
    found: dict[str, str] = {}
    reached, owner = 0, ""
    for start, end, path in pieces:
        if start < reached and path != owner:
            found.setdefault(path, owner)
            found.setdefault(owner, path)
        if end > reached:
            reached, owner = end, path
    return found


def _piece(value: Tensor) -> tuple[int, int]:
    """The first byte of a tensor, and the one behind its last."""
    last = sum((size - 1) * stride for size, stride in zip(value.shape, value.stride(), strict=True))
    return value.data_ptr(), value.data_ptr() + (last + 1) * value.element_size()
