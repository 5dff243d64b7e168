"""Images that are parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.image_shape import image_shape

__all__ = ["LearntImages", "learnt_images"]


class LearntImages(nn.Module):
    """A few images of each class, which begin as standard normal noise.

    Args:
        num_classes: how many classes.
        in_channels: channels of the images.
        in_features: numbers in one image.
        per_class: images of each class.
        size: height and width of the images; None for squares.

    Shapes:
        nothing -> images [num_classes · per_class, in_channels, height, width], and their classes.

    Raises:
        ModelError: a count below 1, or a size that does not fit.

    Source:
        Wang et al. 2018, "Dataset Distillation": pixels as parameters, as many for each class.
    """

    classes: Tensor

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        in_features: int,
        per_class: int,
        size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes, per_class=per_class)
        shape = image_shape(in_channels, in_features, size)
        self.images = nn.Parameter(torch.randn(num_classes * per_class, *shape))
        self.register_buffer("classes", torch.arange(num_classes).repeat_interleave(per_class))

    def forward(self) -> tuple[Float[Tensor, "items channels height width"], Int[Tensor, "items"]]:
        """The images and their classes."""
        return self.images, self.classes


def learnt_images(
    *,
    num_classes: int,
    in_channels: int,
    in_features: int,
    per_class: int,
    size: Sequence[int] | None = None,
) -> LearntImages:
    """Images that are parameters; arguments, shapes and source are those of `LearntImages`."""
    return LearntImages(
        num_classes=num_classes,
        in_channels=in_channels,
        in_features=in_features,
        per_class=per_class,
        size=size,
    )
