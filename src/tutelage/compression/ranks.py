"""How many directions each layer keeps."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

from torch import Tensor, nn

from tutelage.compression.low_rank import paying, whole_cost
from tutelage.errors import ModelError

__all__ = ["by_energy", "by_parameters"]


def by_energy(
    layers: Mapping[str, nn.Module], energies: Mapping[str, Tensor], share: float
) -> dict[str, int]:
    """By path the least rank that holds a share of a layer's energy, where that saves parameters.

    Example:
        >>> import torch
        >>> by_energy({"head": nn.Linear(9, 9)}, {"head": torch.tensor([6.0, 3.0, 1.0])}, 0.9)
        {'head': 2}
    """
    found = {}
    for path, layer in layers.items():
        held = energies[path].cumsum(0) / energies[path].sum().clamp(min=1e-300)
        rank = min(int((held < share * (1 - 1e-12)).sum()) + 1, len(held))
        if rank <= paying(layer):
            found[path] = rank
    return found


def by_parameters(
    network: nn.Module, layers: Mapping[str, nn.Module], energies: Mapping[str, Tensor], share: float
) -> dict[str, int]:
    """By path the ranks that a budget of parameters is spent on, without layers that stay whole.

    Each layer begins with rank 1. Then the next direction of that layer is bought which loses least without
    it: the largest share of a layer's energy for each parameter. After the last rank that saves parameters,
    what is bought is the whole layer.

    Args:
        network: whose parameters are counted, those of other layers too.
        layers: those that may be factorised.
        energies: by path what each direction holds, the largest first.
        share: of all parameters, that may stay.

    Raises:
        ModelError: rank 1 in each layer is more than what may stay; what could be reached is named.
    """
    total = sum(parameter.numel() for parameter in network.parameters())
    costs = {path: whole_cost(layer) for path, layer in layers.items()}
    left = math.floor(total * share) - total + sum(whole - each for whole, each in costs.values())
    if left < 0:
        least = (math.floor(total * share) - left) / total
        raise ModelError(
            f"parameters came as {share:g}, and factorise can bring {type(network).__name__} to {least:.3g} "
            "of its parameters at the least, with rank 1 in each layer; allow more of them"
        )
    shares = {path: (held / held.sum().clamp(min=1e-300)).tolist() for path, held in energies.items()}
    ranks = dict.fromkeys(layers, 1)
    waiting = [_next(path, 1, layers, shares, costs) for path in layers]
    heapq.heapify(waiting)
    while waiting:
        _, path, cost, rank = heapq.heappop(waiting)
        if cost > left:
            continue
        left -= cost
        ranks[path] = rank
        if rank:
            heapq.heappush(waiting, _next(path, rank, layers, shares, costs))
    return {path: rank for path, rank in ranks.items() if rank}


def _next(
    path: str,
    rank: int,
    layers: Mapping[str, nn.Module],
    shares: Mapping[str, list[float]],
    costs: Mapping[str, tuple[int, int]],
) -> tuple[float, str, int, int]:
    """What a layer buys next: minus its gain for a parameter, path, cost, and the new rank, 0 for all."""
    whole, each = costs[path]
    if rank < paying(layers[path]):
        return -shares[path][rank] / each, path, each, rank + 1
    cost = whole - rank * each
    return -sum(shares[path][rank:]) / cost, path, cost, 0
