"""Images from noise."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.image_shape import image_shape

__all__ = ["ImageGenerator", "image_generator"]

SLOPE = 0.2


class ImageGenerator(nn.Module):
    """A linear layer to a small map, then upsampling and a convolution for each doubling of its size.

    Args:
        in_channels: channels of the images.
        in_features: numbers in one image.
        noise: how many numbers it reads.
        widths: channels of the map before each doubling; the last doubling gives the image's size.
        size: height and width of the images; None for squares.
        batch_norm: whether batch norm follows the linear layer and each convolution but the last.
        reach: pixels lie between −reach and reach; 1 where the task's images do.

    Shapes:
        [N, noise] -> [N, in_channels, height, width].

    Raises:
        ModelError: no widths, a count below 1, a size that does not fit, or noise of another width.

    Source:
        Chen et al. 2019, "Data-Free Learning of Student Networks", the generator of its code for MNIST, which
        is that of Radford et al. 2016 with upsampling in place of transposed convolutions. Differences:
        widths are given; batch norm on request, and none after the last tanh.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        in_features: int,
        noise: int,
        widths: Sequence[int] = (64, 32),
        size: Sequence[int] | None = None,
        batch_norm: bool = True,
        reach: float = 1.0,
    ) -> None:
        super().__init__()
        if not widths:
            raise ModelError("widths is empty; give the channels before each doubling, e.g. widths: [64, 32]")
        require_positive(noise=noise)
        require_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        channels, height, across = image_shape(in_channels, in_features, size)
        self.noise, self.reach = noise, reach
        sizes = [(height, across)]
        for _ in widths:
            sizes.insert(0, (math.ceil(sizes[0][0] / 2), math.ceil(sizes[0][1] / 2)))
        self.start = (widths[0], *sizes[0])
        self.stem = nn.Linear(noise, math.prod(self.start))
        self.norm = nn.BatchNorm2d(widths[0]) if batch_norm else nn.Identity()
        outward = [*widths[1:], widths[-1]]
        self.blocks = nn.ModuleList(
            _block(inner, outer, to, batch_norm)
            for inner, outer, to in zip(widths, outward, sizes[1:], strict=True)
        )
        self.head = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, noise: Float[Tensor, "items noise"]) -> Float[Tensor, "items channels height width"]:
        """Images of some noise."""
        if noise.ndim != 2 or noise.shape[1] != self.noise:
            raise ModelError(
                f"noise came with shape {list(noise.shape)}; this generator reads [items, {self.noise}]. "
                "Give it and the scheme the same noise"
            )
        maps = self.norm(self.stem(noise).unflatten(1, self.start))
        for block in self.blocks:
            maps = block(maps)
        images: Tensor = self.reach * self.head(maps).tanh()
        return images


def _block(inner: int, outer: int, to: tuple[int, int], batch_norm: bool) -> nn.Sequential:
    layers: dict[str, nn.Module] = {"up": nn.Upsample(size=to), "conv": nn.Conv2d(inner, outer, 3, padding=1)}
    if batch_norm:
        layers["norm"] = nn.BatchNorm2d(outer)
    return nn.Sequential(OrderedDict(layers | {"activation": nn.LeakyReLU(SLOPE)}))


def image_generator(
    *,
    in_channels: int,
    in_features: int,
    noise: int,
    widths: Sequence[int] = (64, 32),
    size: Sequence[int] | None = None,
    batch_norm: bool = True,
    reach: float = 1.0,
) -> ImageGenerator:
    """Images from noise; arguments, shapes and source are those of `ImageGenerator`."""
    return ImageGenerator(
        in_channels=in_channels,
        in_features=in_features,
        noise=noise,
        widths=widths,
        size=size,
        batch_norm=batch_norm,
        reach=reach,
    )
