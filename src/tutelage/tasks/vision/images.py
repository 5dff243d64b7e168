"""Columns of images, as sources of normalised tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, check_labels, values_of
from tutelage.errors import DataError
from tutelage.layout import resize
from tutelage.tasks.classification import labels_of
from tutelage.types import Batch

__all__ = ["Decoded", "Scale", "image_source", "pixels_of"]


class Scale:
    """Stored pixels -> (pixel / top − mean) / std.

    Args:
        top: what white is stored as: 255 for bytes, 1 for floats.
        mean, std: one number for each channel, on the scale of 0 to 1.
    """

    def __init__(self, top: float, mean: Sequence[float], std: Sequence[float]) -> None:
        if top <= 0 or min(std) <= 0:
            raise DataError(
                f"images with the brightest pixel {top} and std {list(std)}; expected positive numbers"
            )
        self.top = top
        self.factor = (1 / (top * torch.tensor(std))).view(1, -1, 1, 1)
        self.shift = (torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Float pixels of shape [N, C, H, W]."""
        return pixels.float() * self.factor - self.shift

    def unit(self, brightness: Tensor) -> Tensor:
        """The same of images on the scale of 0 to 1."""
        return self(brightness * self.top)

    def undone(self, scaled: Tensor) -> Tensor:
        """Images on the scale of 0 to 1, from what a call gave."""
        return (scaled + self.shift) / (self.factor * self.top)


class Decoded(Source):
    """Images that are decoded when they are asked for, of one size, for sets that do not fit in memory."""

    def __init__(
        self,
        table: Any,
        image: str,
        label: str,
        scale: Scale,
        *,
        num_classes: int,
        size: int | None = None,
        where: str = "the data",
    ) -> None:
        self.table, self.image, self.scale, self.size, self.where = table, image, scale, size, where
        self._labels = labels_of(table, label)
        check_labels(self._labels, num_classes, where=where)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> Tensor:
        """All labels."""
        return self._labels

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The images of these numbers."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        images = [
            pixels_of(image, self.size) for image in values_of(self.table, self.image, ids, where=self.where)
        ]
        for image in images:
            _check_size(images[0], image, self.where)
        return Batch(inputs=self.scale(torch.stack(images)), ids=ids, labels=self._labels[ids])


def image_source(
    table: Any,
    image: str,
    label: str,
    *,
    top: float,
    mean: Sequence[float],
    std: Sequence[float],
    num_classes: int,
    size: int | None = None,
    where: str,
    memory_limit: float = 2e9,
) -> Source:
    """A table of images and labels as a source, in memory up to `memory_limit` bytes of stored pixels.

    Raises:
        DataError: images of several sizes, or labels out of range.
    """
    first = pixels_of(next(values_of(table, image, where=where)), size)
    scale = Scale(top, mean, std)
    if len(table) * first.nelement() * first.element_size() > memory_limit:
        return Decoded(table, image, label, scale, num_classes=num_classes, size=size, where=where)
    pixels = torch.empty((len(table), *first.shape), dtype=first.dtype)
    for number, value in enumerate(values_of(table, image, where=where)):
        held = pixels_of(value, size)
        _check_size(first, held, where)
        pixels[number] = held
    labels = labels_of(table, label)
    return Examples(pixels, labels, prepare=scale, num_classes=num_classes, where=where)


def pixels_of(value: Any, size: int | None = None) -> Tensor:
    """An image as [C, H, W]: bytes as they are, other numbers as float32; greys get one channel.

    Args:
        value: an image, or an array of one.
        size: height and width to bring it to, averaged where it shrinks; None leaves it as it is.

    Raises:
        DataError: it is no image.
    """
    if getattr(value, "mode", None) == "P":  # a palette's numbers are no brightness
        value = value.convert("RGB")
    try:
        array = np.array(value, dtype=None if np.asarray(value).dtype == np.uint8 else np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"an image column holds a {type(value).__name__}, and images were expected"
        ) from error
    if array.ndim not in (2, 3):
        raise DataError(
            f"an image column holds values of shape {array.shape}; expected [height, width] or [height, "
            "width, channels]. Name another column with task.image=<column>"
        )
    tensor = torch.from_numpy(array)
    tensor = tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1)
    return tensor if size is None else _resized(tensor, size)


def _resized(image: Tensor, size: int) -> Tensor:
    if size < 1:
        raise DataError(f"size came as {size} pixels; expected 1 or more")
    made = resize(image[None].float(), (size, size))[0]
    return made.round().to(torch.uint8) if image.dtype == torch.uint8 else made


def _check_size(first: Tensor, other: Tensor, where: str) -> None:
    if first.shape != other.shape:
        raise DataError(
            f"{where} holds images of {tuple(first.shape)} and {tuple(other.shape)} (channels, height, "
            "width); bring them to one with task.size=<pixels>"
        )
