"""Random numbers that belong to an example, not to its place in a batch.

The numbers of `uniform` depend on the example's id, a seed and the name of the draw, so that the same view of
an example comes back under any batch size, on any process, in any order. `own_draws` does what can be done
for data sets that draw from the global generators.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

__all__ = ["normal", "own_draws", "uniform"]


@contextmanager
def own_draws(*words: int) -> Iterator[None]:
    """Run a block under a seed of its own, and leave Python's, NumPy's and torch's generators as they were.

    Args:
        words: what the seed depends on. Only generators of the CPU are seeded.
    """
    seed = int(np.random.SeedSequence([word % 2**64 for word in words]).generate_state(1)[0])
    before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    random.seed(seed)
    np.random.seed(seed)  # users' data sets draw from the global generator
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.default_generator.set_state(before[2])


def uniform(ids: Tensor, *, seed: int, draw: str) -> Tensor:
    """One number in [0, 1) for each id, by the mixing function of SplitMix64 (Steele et al. 2014).

    Args:
        ids: shape [N], integers.
        seed: changes every number; an epoch has its own.
        draw: tells apart several numbers of one example: "left", "flip" …

    Returns:
        float64, shape [N].
    """
    start = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(draw.encode()) * 0xD1B54A32D192ED03) % 2**64
    with np.errstate(over="ignore"):
        word = ids.cpu().numpy().astype(np.uint64) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(start)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
        word ^= word >> np.uint64(31)
    return torch.from_numpy((word >> np.uint64(11)).astype(np.float64) * 2.0**-53).to(ids.device)


def normal(ids: Tensor, width: int, *, seed: int, draw: str) -> Tensor:
    """`width` standard normal numbers for each id, by the method of Box and Muller on `uniform`.

    Args:
        ids: shape [N], integers.
        width: numbers for each id.
        seed: changes every number; an update of a turn has its own.
        draw: tells apart several draws.

    Returns:
        float64, shape [N, width].

    Example:
        >>> one, again = (normal(torch.tensor(each), 3, seed=1, draw="noise") for each in ([4, 9], [9, 4]))
        >>> torch.equal(one, again.flip(0))
        True
    """
    many = (ids.unsqueeze(-1) * (2 * width) + torch.arange(2 * width, device=ids.device)).flatten()
    first, second = uniform(many, seed=seed, draw=draw).view(len(ids), 2, width).unbind(1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * torch.pi * second)
