"""Detectors, by name, each a plain function of keywords."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive

__all__ = ["GridDetector", "grid_detector"]


class GridDetector(nn.Module):
    """A convolutional network with one answer for each cell of a grid.

    Each block halves height and width; what is left after the last one is the grid. A cell answers which
    class stands there, or none, and where the box around it is: its centre within the cell, its width and
    height as multiples of the cell's.

    Args:
        num_classes: classes of things; the answer has one more, the last, for nothing.
        in_channels: of the images.
        widths: channels of each block; an image's sides must be multiples of 2 to their number.

    Shapes:
        [N, in_channels, height, width] -> `logits` [N, cells, num_classes + 1] and `boxes` [N, cells, 4]:
        left, top, right and bottom as shares of the image's width and height, cells row by row.
        `blocks.i` gives [N, widths[i], height / 2^(i+1), width / 2^(i+1)].

    Raises:
        ModelError: a size below 1, or an image whose sides do not fit.

    Source: Redmon et al., You Only Look Once, 2016, section 2, for a class and a box in each cell, and
    Redmon & Farhadi, YOLO9000, 2017, section 2, for a centre that stays within it. Differences: one box for a
    cell; nothing is a class, in place of a confidence of its own; each channel is normalised in each image by
    itself (Ulyanov et al., Instance Normalization, 2016), so that a batch in parts is the batch.
    """

    def __init__(self, *, num_classes: int, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        require_positive(num_classes=num_classes, in_channels=in_channels, blocks=len(widths))
        require_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        self.num_classes, self.stride = num_classes, 2 ** len(widths)
        self.blocks = nn.Sequential(*(_block(*pair) for pair in pairwise([in_channels, *widths])))
        self.classes = nn.Conv2d(widths[-1], num_classes + 1, 1)
        self.places = nn.Conv2d(widths[-1], 4, 1)

    def forward(self, images: Float[Tensor, "items channels height width"]) -> dict[str, Tensor]:
        """Classes and boxes of each cell."""
        height, width = images.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ModelError(
                f"images of {height} × {width} pixels came, and this detector halves them "
                f"{len(self.blocks)} times: give sides that are multiples of {self.stride}, or other widths"
            )
        maps = self.blocks(images)
        return {
            "logits": self.classes(maps).flatten(2).mT,
            "boxes": _boxes(self.places(maps)).flatten(2).mT,
        }


def _block(channels: int, width: int) -> nn.Sequential:
    layers = {
        "conv": nn.Conv2d(channels, width, 3, padding=1),
        "norm": nn.GroupNorm(width, width),
        "act": nn.SiLU(),
        "pool": nn.MaxPool2d(2),
    }
    return nn.Sequential(OrderedDict(layers))


def _boxes(raw: Tensor) -> Tensor:
    """Corners as shares of the image, from centres within cells and the logarithms of sizes in cells."""
    rows, columns = raw.shape[-2:]
    down = torch.arange(rows, device=raw.device, dtype=raw.dtype).view(1, rows, 1)
    across = torch.arange(columns, device=raw.device, dtype=raw.dtype).view(1, 1, columns)
    middle = torch.stack([across + raw[:, 0].sigmoid(), down + raw[:, 1].sigmoid()], 1)
    half = raw[:, 2:].clamp(-4, 4).exp() / 2
    cells = raw.new_tensor([columns, rows]).view(1, 2, 1, 1)
    return torch.cat([(middle - half) / cells, (middle + half) / cells], 1)


def grid_detector(*, num_classes: int, in_channels: int, widths: Sequence[int]) -> GridDetector:
    """A detector with one answer for each cell; arguments, shapes and source are those of `GridDetector`."""
    return GridDetector(num_classes=num_classes, in_channels=in_channels, widths=widths)
