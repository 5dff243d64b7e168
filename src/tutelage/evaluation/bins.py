"""Equal-width bins of confidence, for calibration and fidelity."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["confidence_bins"]


def confidence_bins(
    confidence: Float[Tensor, " n"], *, bins: int
) -> Iterator[tuple[float, float, Bool[Tensor, " n"]]]:
    """The bins that are not empty, from low to high confidence: (low, high, who is in it).

    A bin holds low ≤ confidence < high; the last one holds 1 as well.

    Args:
        confidence: probabilities, 0 … 1.
        bins: how many bins the range 0 … 1 is cut into.

    Raises:
        ValueError: `bins` below 1.
    """
    if bins < 1:
        raise ValueError(f"at least 1 bin was expected; got {bins}")
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    place = torch.bucketize(confidence.double(), edges[1:-1], right=True)
    for index in range(bins):
        inside = place == index
        if inside.any():
            yield float(edges[index]), float(edges[index + 1]), inside
