"""Thin and deep convolutional students, after FitNets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import he_init_

__all__ = ["ThinConvnet", "thin_convnet"]

SMALLEST_POOLED = 4


class ThinConvnet(nn.Module):
    """A plain deep stack of thin 3×3 convolutions, in the manner of FitNets.

    Args:
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 1 for grey ones.
        widths: channels of each block.
        downsample_every: a max-pool by 2 follows each so many blocks, while height and width are 4 or more.
        batch_norm: whether batch norm stands between convolution and ReLU.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]; `blocks.i` gives [N, widths[i], …], after its
        ReLU and before the max-pool.

    Raises:
        ModelError: no widths, or a count below 1.

    Source:
        Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", the thin deep students. Differences: ReLU,
        where the paper has maxout, so that a layer of the same width has fewer parameters and other
        numbers; widths are given, not the paper's; max-pools do not overlap; a global average pool before
        the one linear layer; batch norm on request; He initialisation, without which a plain deep stack
        does not train.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        widths: Sequence[int],
        downsample_every: int = 2,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if not widths:
            raise ModelError(
                "widths is empty; give the channels of each block, e.g. widths: [16, 16, 12, 12]"
            )
        require_positive(num_classes=num_classes, in_channels=in_channels, downsample_every=downsample_every)
        require_positive(**{f"widths[{index}]": width for index, width in enumerate(widths)})
        self.downsample_every = downsample_every
        self.blocks = nn.ModuleList(
            _block(in_width, width, batch_norm) for in_width, width in pairwise([in_channels, *widths])
        )
        self.downsample = nn.MaxPool2d(2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes)
        he_init_(self)

    def forward(self, images: Float[Tensor, "items channels height width"]) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        features = images
        for count, block in enumerate(self.blocks, start=1):
            features = block(features)
            if count % self.downsample_every == 0 and min(features.shape[-2:]) >= SMALLEST_POOLED:
                features = self.downsample(features)
        logits: Tensor = self.head(self.pool(features).flatten(1))
        return logits


def _block(in_width: int, width: int, batch_norm: bool) -> nn.Sequential:
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(in_width, width, 3, padding=1, bias=not batch_norm)}
    if batch_norm:
        layers["norm"] = nn.BatchNorm2d(width)
    return nn.Sequential(OrderedDict(layers | {"relu": nn.ReLU()}))


def thin_convnet(
    *,
    num_classes: int,
    in_channels: int = 1,
    widths: Sequence[int],
    downsample_every: int = 2,
    batch_norm: bool = False,
) -> ThinConvnet:
    """A thin deep student without maxout; arguments, shapes and source are those of `ThinConvnet`."""
    return ThinConvnet(
        num_classes=num_classes,
        in_channels=in_channels,
        widths=widths,
        downsample_every=downsample_every,
        batch_norm=batch_norm,
    )
