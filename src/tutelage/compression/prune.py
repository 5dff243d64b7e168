"""Prune hidden units of chains of linear layers, by magnitude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError

__all__ = ["Prune"]

_BETWEEN = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU, nn.Dropout, nn.Identity)


class Prune:
    """Structured pruning by magnitude: hidden units whose weights are small are taken out, with their rows.

    It works on `nn.Sequential` chains of `nn.Linear` layers with activations in between, wherever in the network
    they stand. A unit counts by the norm of what goes into it times the norm of what comes out of it.

    Args:
        share: of the hidden units of each layer that are taken out, above 0 and below 1; at least one stays.

    Raises:
        ValueError: a share out of range.
        ModelError: a network without such a chain, when it is pruned.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", by
        magnitude; Li et al. 2017, "Pruning Filters for Efficient ConvNets", whole units. Differences: the norm
        of outgoing weights counts too.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> done = Prune(share=0.5).change(network)
        >>> network[0].out_features, network[2].in_features, len(done["kept"]["0"])
        (3, 3, 3)
    """

    def __init__(self, *, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share came as {share}; a number above 0 and below 1 is expected")
        self.share = share

    def change(self, network: nn.Module) -> dict[str, Any]:
        """Prune in place; which units of which layers were kept, by the layers' paths."""
        kept = {}
        for path, first, second in _pairs(network):
            score = first.weight.detach().norm(dim=1) * second.weight.detach().norm(dim=0)
            count = max(1, round(len(score) * (1 - self.share)))
            kept[path] = sorted(score.topk(count).indices.tolist())
            _keep(first, second, kept[path])
        if not kept:
            raise ModelError(
                f"prune found no chain of linear layers in {type(network).__name__}; it prunes nn.Sequential of "
                "nn.Linear with activations in between"
            )
        return {"kept": kept}

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> None:
        """Bring a network that was built anew into the pruned shape."""
        for path, first, second in _pairs(network):
            _keep(first, second, done["kept"][path])


def _pairs(network: nn.Module) -> Iterator[tuple[str, nn.Linear, nn.Linear]]:
    """Neighbouring linear layers, with the first one's path."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            before: tuple[str, nn.Linear] | None = None
            for name, layer in module.named_children():
                if isinstance(layer, nn.Linear):
                    if before is not None:
                        yield (*before, layer)
                    before = (f"{path}.{name}" if path else name, layer)
                elif not isinstance(layer, _BETWEEN):
                    before = None


def _keep(first: nn.Linear, second: nn.Linear, units: Sequence[int]) -> None:
    index = torch.tensor(units, device=first.weight.device)
    _set(first, "weight", first.weight[index])
    if first.bias is not None:
        _set(first, "bias", first.bias[index])
    _set(second, "weight", second.weight[:, index])
    first.out_features = second.in_features = len(units)


def _set(layer: nn.Linear, name: str, value: Tensor) -> None:
    setattr(layer, name, nn.Parameter(value.detach().clone()))
