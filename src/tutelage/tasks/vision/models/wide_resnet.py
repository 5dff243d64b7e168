"""Wide residual networks (WRN)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, he_init_

__all__ = ["WideResNet", "wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"]


class PreactivationBlock(nn.Module):
    """Batch norm and ReLU before each of two 3×3 convolutions; nothing after their sum with the shortcut.

    Args:
        in_width: channels in.
        width: channels out. Where it changes, the shortcut is a 1×1 convolution of the first activation.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, in_width: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(in_width), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(in_width, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        same = stride == 1 and in_width == width
        self.shortcut = None if same else nn.Conv2d(in_width, width, 1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """[N, in_width, h, w] -> [N, width, h / stride, w / stride]."""
        activated = self.first(features)
        kept = features if self.shortcut is None else self.shortcut(activated)
        summed: Tensor = kept + self.body(activated)
        return summed


class WideResNet(StagedNet):
    """A wide residual network (WRN-depth-widening) with pre-activation blocks.

    Args:
        depth: 6n + 4, the paper's count of convolutions: the stem, and in each of three stages n blocks of
            two and a shortcut.
        widening: k, by which the stages' 16, 32 and 64 channels are multiplied; the stem keeps 16.
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. `stages.0` keeps height and width, `stages.1` and
        `stages.2` halve them, rounding up; their outputs are sums, before the next norm and ReLU. Activated
        features of the last stage are at `neck`.

    Source:
        Zagoruyko and Komodakis 2016, "Wide Residual Networks", table 1; block B(3,3), no dropout. The head's
        bias starts at zero, as in the authors' training code.
    """

    def __init__(self, *, depth: int, widening: int, num_classes: int, in_channels: int = 3) -> None:
        assert (depth - 4) % 6 == 0
        require_positive(in_channels=in_channels)
        num_blocks = (depth - 4) // 6
        widths = [16, 16 * widening, 32 * widening, 64 * widening]
        stages = [
            _stage(in_width, width, num_blocks, stride=1 if index == 0 else 2)
            for index, (in_width, width) in enumerate(pairwise(widths))
        ]
        super().__init__(
            stem=nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            stages=stages,
            neck=nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU()),
            width=widths[-1],
            num_classes=num_classes,
        )
        he_init_(self)
        nn.init.zeros_(self.head.bias)


def _stage(in_width: int, width: int, num_blocks: int, *, stride: int) -> nn.Sequential:
    first = PreactivationBlock(in_width, width, stride=stride)
    return nn.Sequential(first, *(PreactivationBlock(width, width, stride=1) for _ in range(num_blocks - 1)))


def wrn_16_1(*, num_classes: int, in_channels: int = 3) -> WideResNet:
    """WRN-16-1, 0.18 M parameters at 100 classes; shapes and source are those of `WideResNet`."""
    return WideResNet(depth=16, widening=1, num_classes=num_classes, in_channels=in_channels)


def wrn_16_2(*, num_classes: int, in_channels: int = 3) -> WideResNet:
    """WRN-16-2, 0.70 M parameters at 100 classes; shapes and source are those of `WideResNet`."""
    return WideResNet(depth=16, widening=2, num_classes=num_classes, in_channels=in_channels)


def wrn_40_1(*, num_classes: int, in_channels: int = 3) -> WideResNet:
    """WRN-40-1, 0.57 M parameters at 100 classes; shapes and source are those of `WideResNet`."""
    return WideResNet(depth=40, widening=1, num_classes=num_classes, in_channels=in_channels)


def wrn_40_2(*, num_classes: int, in_channels: int = 3) -> WideResNet:
    """WRN-40-2, 2.26 M parameters at 100 classes; shapes and source are those of `WideResNet`."""
    return WideResNet(depth=40, widening=2, num_classes=num_classes, in_channels=in_channels)
