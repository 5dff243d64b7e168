"""Prune hidden units of linear layers, by magnitude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.compression.changer import Calibration, Changed, Changer
from tutelage.compression.hidden import hidden_layers
from tutelage.errors import ModelError

__all__ = ["Prune"]


class Prune(Changer):
    """Structured pruning by magnitude: hidden units whose weights are small are taken out, with their rows.

    It works on linear layers whose answer goes through activations and dropout into other linear layers and
    nowhere else, wherever in the network they stand; what reads what is found by tracing the forward pass. A
    unit counts by the norm of what goes into it times the norm of what comes out of it.

    Args:
        share: of the hidden units of each layer that are taken out, above 0 and below 1; at least one stays.

    Raises:
        ValueError: a share out of range.
        ModelError: a network without such a layer, when it is pruned.

    Source: Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", by
        magnitude; Li et al. 2017, "Pruning Filters for Efficient ConvNets", whole units. Differences: the
        norm of outgoing weights counts too.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> done = Prune(share=0.5).change(network).done
        >>> network[0].out_features, network[2].in_features, len(done["kept"]["0"])
        (3, 3, 3)
    """

    def __init__(self, *, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share came as {share}; a number above 0 and below 1 is expected")
        self.share = share

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:  # noqa: ARG002
        """Prune in place; which units of which layers were kept, by the layers' paths."""
        hidden = hidden_layers(network)
        if not hidden:
            raise ModelError(
                f"prune found no hidden linear layer in {type(network).__name__}: one whose answer goes "
                "through activations and dropout into other linear layers, and nowhere else"
            )
        kept = {}
        for path, readers in hidden.items():
            first, others = _layers(network, path, readers)
            incoming = first.weight.detach().norm(dim=1)
            outgoing = torch.cat([other.weight.detach() for other in others]).norm(dim=0)
            score = incoming * outgoing
            count = max(1, round(len(score) * (1 - self.share)))
            kept[path] = sorted(score.topk(count).indices.tolist())
            _keep(first, others, kept[path])
        return Changed(network, {"kept": kept})

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Bring a network that was built anew into the pruned shape."""
        for path, readers in hidden_layers(network).items():
            _keep(*_layers(network, path, readers), done["kept"][path])
        return network


def _layers(network: nn.Module, path: str, readers: Sequence[str]) -> tuple[nn.Linear, list[nn.Linear]]:
    found = [network.get_submodule(one) for one in (path, *readers)]
    linear = [one for one in found if isinstance(one, nn.Linear)]
    return linear[0], linear[1:]


def _keep(first: nn.Linear, readers: Sequence[nn.Linear], units: Sequence[int]) -> None:
    index = torch.tensor(units, device=first.weight.device)
    _set(first, "weight", first.weight[index])
    if first.bias is not None:
        _set(first, "bias", first.bias[index])
    first.out_features = len(units)
    for reader in readers:
        _set(reader, "weight", reader.weight[:, index])
        reader.in_features = len(units)


def _set(layer: nn.Linear, name: str, value: Tensor) -> None:
    learns = getattr(layer, name).requires_grad
    setattr(layer, name, nn.Parameter(value.detach().clone(), requires_grad=learns))
