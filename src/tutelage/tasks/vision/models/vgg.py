"""VGG networks for small pictures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, he_init_

__all__ = ["VGG", "vgg8", "vgg13"]

WIDTHS = (64, 128, 256, 512, 512)


class VGG(StagedNet):
    """A plain stack of 3×3 convolutions (VGG) with batch norm: five stages, then one linear layer.

    Args:
        convs: convolutions in each stage.
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.
        max_pools: 0 to 4: how many of the last four stages begin with a max-pool, first ones first. The
            published CIFAR table was measured with 3 on 32×32 pictures, and 4 on 64×64 ones; the parameters
            are the same.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. `stem` passes the pictures on; `stages.i` has 64,
        128, 256, 512, 512 channels and ends in a ReLU. A max-pool halves height and width, rounding up.

    Source:
        Simonyan and Zisserman 2015, "Very Deep Convolutional Networks", table 1: vgg13 is column B, vgg8 has
        one convolution a stage. Differences: batch norm; a global average pool and one linear layer in place
        of the last max-pool and three linear layers, as in the CIFAR table of Tian et al. 2020; He
        initialisation, and a head that starts at N(0, 0.01²), its bias at zero; max-pools round up, so that
        small pictures keep at least one pixel. Convolutions keep the paper's biases, though batch norm
        follows: the published parameter counts have them.
    """

    def __init__(
        self, *, convs: Sequence[int], num_classes: int, in_channels: int = 3, max_pools: int = 4
    ) -> None:
        require_positive(in_channels=in_channels)
        if not 0 <= max_pools <= 4:
            raise ModelError(
                f"max_pools must be 0 to 4, one for each stage but the first; it was {max_pools}"
            )
        stages = [
            _stage(in_width, width, count, pool=0 < index <= max_pools)
            for index, (in_width, width, count) in enumerate(
                zip((in_channels, *WIDTHS), WIDTHS, convs, strict=False)
            )
        ]
        super().__init__(stem=nn.Identity(), stages=stages, width=WIDTHS[-1], num_classes=num_classes)
        he_init_(self)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)


def _stage(in_width: int, width: int, num_convs: int, *, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.MaxPool2d(2, ceil_mode=True)] if pool else []
    for conv_in in [in_width] + [width] * (num_convs - 1):
        layers += [nn.Conv2d(conv_in, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def vgg8(*, num_classes: int, in_channels: int = 3, max_pools: int = 4) -> VGG:
    """VGG-8, 3.97 M parameters at 100 classes; arguments, shapes and source are those of `VGG`."""
    return VGG(convs=(1, 1, 1, 1, 1), num_classes=num_classes, in_channels=in_channels, max_pools=max_pools)


def vgg13(*, num_classes: int, in_channels: int = 3, max_pools: int = 4) -> VGG:
    """VGG-13, 9.46 M parameters at 100 classes; arguments, shapes and source are those of `VGG`."""
    return VGG(convs=(2, 2, 2, 2, 2), num_classes=num_classes, in_channels=in_channels, max_pools=max_pools)
