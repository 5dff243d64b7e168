"""How thick the strokes of a drawing are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.errors import DataError

__all__ = ["binned", "even_edges", "stroke_widths"]


def stroke_widths(inked: Bool[Tensor, "images height width"]) -> Float[Tensor, " images"]:
    """The mean width of the strokes of each image, in pixels.

    Four times the mean distance of an inked pixel from the nearest one without ink: across a long stroke of
    width w, that distance grows from 0 to w / 2 and falls again. Distances are octagonal: the steps of a
    rook and of a king by turns.

    Args:
        inked: true where there is ink.

    Returns:
        pixels; 0 for an image without ink.

    Example:
        >>> bar = torch.zeros(1, 9, 40, dtype=torch.bool)
        >>> bar[:, 3:5] = True
        >>> stroke_widths(bar)
        tensor([4.])
    """
    blank = (~inked).float().unsqueeze(1)
    ink = inked.sum((-2, -1)).clamp(min=1)
    total = torch.zeros(len(inked))
    for step in range(max(inked.shape[-2:])):
        left = (1 - blank).sum((-3, -2, -1))
        if step > 0 and not bool(((left > 0) & (left < inked[0].numel())).any()):
            break
        total = total + left
        blank = _grown(blank, king=step % 2 == 1)
    return 4 * total / ink


def _grown(blank: Tensor, *, king: bool) -> Tensor:
    """What has no ink, one step farther."""
    if king:
        return F.max_pool2d(blank, 3, 1, 1)
    return torch.maximum(F.max_pool2d(blank, (3, 1), 1, (1, 0)), F.max_pool2d(blank, (1, 3), 1, (0, 1)))


def binned(values: Float[Tensor, " items"], edges: Float[Tensor, " edges"]) -> Int[Tensor, " items"]:
    """Classes 0 … edges: how many edges lie at or below each value."""
    return torch.bucketize(values, edges, right=True)


def even_edges(values: Float[Tensor, " items"], bins: int) -> Float[Tensor, " edges"]:
    """Edges between which values lie in equal numbers.

    Raises:
        DataError: fewer than two bins, or values that are too much alike.
    """
    if bins < 2:
        raise DataError(f"{bins} bins of stroke widths were asked for; expected two or more")
    edges = values.quantile(torch.linspace(0, 1, bins + 1)[1:-1])
    if bool((edges.diff() <= 0).any()) or bool(edges[0] <= values.min()):
        raise DataError(f"the stroke widths of the images are too much alike for {bins} bins; ask for fewer")
    return edges
