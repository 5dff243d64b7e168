"""The shape of a task's images, from what a builder of networks is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive

__all__ = ["image_shape"]


def image_shape(
    in_channels: int, in_features: int, size: Sequence[int] | None = None
) -> tuple[int, int, int]:
    """Channels, height and width.

    Args:
        in_channels: of an image.
        in_features: numbers in an image.
        size: height and width; None for a square.

    Raises:
        ModelError: no such square, or a size that does not fit.

    Example:
        >>> image_shape(1, 64)
        (1, 8, 8)
    """
    require_positive(in_channels=in_channels, in_features=in_features)
    pixels = in_features // in_channels
    height, width = (math.isqrt(pixels),) * 2 if size is None else tuple(size)
    if in_channels * height * width != in_features:
        raise ModelError(
            f"an image of {in_channels} channels and {in_features} numbers is none of {height} by {width} "
            "pixels; give size: [height, width]"
        )
    return in_channels, height, width
