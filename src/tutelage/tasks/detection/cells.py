"""Which cell of a grid answers for which thing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.types import UNLABELLED

__all__ = ["CellTargets", "cell_targets"]

_ROUNDING = 1e-4
"""In cells: a middle on the edge between two belongs to the second, whatever the last digit says."""


@dataclass(frozen=True)
class CellTargets:
    """What stands in each cell of a grid.

    Args:
        filled: whether anything does.
        classes: of what stands there; 0 where nothing does.
        boxes: around it; 0 where nothing does.
    """

    filled: Bool[Tensor, "items cells"]
    classes: Int[Tensor, "items cells"]
    boxes: Float[Tensor, "items cells 4"]


def cell_targets(labels: Mapping[str, Tensor], cells: int) -> CellTargets:
    """Give each thing to the cell in which the middle of its box lies; of two in one cell the later counts.

    Args:
        labels: `boxes` [N, things, 4], left, top, right and bottom as shares of the image, and `classes`
            [N, things]; `UNLABELLED` where there are fewer things.
        cells: of a square grid, row by row.

    Raises:
        ValueError: the cells are no square grid.

    Example:
        >>> box = torch.tensor([[[0.5, 0.0, 1.0, 0.5]]])
        >>> cell_targets({"boxes": box, "classes": torch.tensor([[7]])}, 4).classes
        tensor([[0, 7, 0, 0]])
    """
    side = math.isqrt(cells)
    if side * side != cells:
        raise ValueError(f"{cells} cells came; those of a square grid are expected, such as 9 or 16")
    boxes, classes = labels["boxes"], labels["classes"]
    known = classes != UNLABELLED
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 * side
    middle = (middle + _ROUNDING).floor().clamp(0, side - 1).long()
    place = torch.where(known, middle[..., 1] * side + middle[..., 0], cells)  # one more, for none
    held = torch.zeros(len(boxes), cells + 1, dtype=torch.long, device=boxes.device)
    number = torch.arange(1, boxes.shape[1] + 1, device=boxes.device).expand(place.shape)
    held = held.scatter_reduce(1, place, number, "amax")[:, :cells]
    filled, thing = held > 0, (held - 1).clamp(min=0)
    return CellTargets(
        filled,
        torch.where(filled, classes.gather(1, thing), 0),
        torch.where(filled[..., None], boxes.gather(1, thing[..., None].expand(-1, -1, 4)), 0),
    )
