"""Columns of images, as sources of normalised tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, check_labels
from tutelage.errors import DataError
from tutelage.types import Batch

__all__ = ["Decoded", "Scale", "image_source"]


class Scale:
    """Stored pixels -> (pixel / top − mean) / std.

    Args:
        top: what white is stored as: 255 for bytes, 1 for floats.
        mean, std: one number for each channel, on the scale of 0 to 1.
    """

    def __init__(self, top: float, mean: Sequence[float], std: Sequence[float]) -> None:
        self.factor = (1 / (top * torch.tensor(std))).view(1, -1, 1, 1)
        self.shift = (torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float pixels of shape [N, C, H, W]."""
        return pixels.float() * self.factor - self.shift


class Decoded(Source):
    """Images that are decoded when they are asked for, of one size, for sets that do not fit in memory."""

    def __init__(self, table: Any, image: str, label: str, scale: Scale, *, num_classes: int) -> None:
        self.table, self.image, self.scale = table, image, scale
        self._labels = torch.tensor(table[label])
        check_labels(self._labels, num_classes, where="the data")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> Tensor:
        """All labels."""
        return self._labels

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The images of these numbers."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        pixels = torch.stack([_pixels(image) for image in self.table[[int(n) for n in numbers]][self.image]])
        return Batch(inputs=self.scale(pixels), ids=ids, labels=self._labels[ids])


def image_source(
    table: Any,
    image: str,
    label: str,
    *,
    top: float,
    mean: Sequence[float],
    std: Sequence[float],
    num_classes: int,
    where: str,
    memory_limit: float = 2e9,
) -> Source:
    """A table of images and labels as a source, in memory up to `memory_limit` bytes of stored pixels.

    Raises:
        DataError: images of several sizes, or labels out of range.
    """
    first = _pixels(table[0][image])
    scale = Scale(top, mean, std)
    if len(table) * first.nelement() * first.element_size() > memory_limit:
        return Decoded(table, image, label, scale, num_classes=num_classes)
    pixels = torch.empty((len(table), *first.shape), dtype=first.dtype)
    for number, value in enumerate(table[image]):
        held = _pixels(value)
        if held.shape != first.shape:
            raise DataError(
                f"{where} holds images of {tuple(first.shape)} and {tuple(held.shape)} (channels, height, "
                "width); resize them to one size first"
            )
        pixels[number] = held
    labels = torch.tensor(table[label])
    return Examples(pixels, labels, prepare=scale, num_classes=num_classes, where=where)


def _pixels(value: Any) -> Tensor:
    """An image as [C, H, W]; greys get one channel."""
    array = np.asarray(value)
    if array.dtype != np.uint8:
        array = array.astype(np.float32)
    tensor = torch.from_numpy(np.array(array))
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1)
