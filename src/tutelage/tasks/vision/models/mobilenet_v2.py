"""MobileNetV2 for small pictures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, conv_norm, he_init_

__all__ = ["MobileNetV2", "mobilenet_v2"]

STEM_WIDTH = 32
LAST_WIDTH = 1280
# For each stage, rows of the paper's table 2: channels, blocks, stride of the first block, whether t counts.
STAGES = (
    ((16, 1, 1, False), (24, 2, 1, True)),
    ((32, 3, 2, True),),
    ((64, 4, 2, True), (96, 3, 1, True)),
    ((160, 3, 2, True), (320, 1, 1, True)),
)


class InvertedResidual(nn.Module):
    """Widen by a 1×1 convolution, filter each channel by itself, narrow again without an activation.

    Args:
        in_width: channels in.
        width: channels out. The shortcut stands where the block changes neither width nor resolution.
        stride: of the channelwise convolution.
        expansion: the paper's t: how many times wider the middle is.
    """

    def __init__(self, in_width: int, width: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        middle = in_width * expansion
        self.body = nn.Sequential(
            conv_norm(in_width, middle, size=1),
            conv_norm(middle, middle, stride=stride, groups=middle),
            conv_norm(middle, width, size=1, relu=False),
        )
        self.residual = stride == 1 and in_width == width

    def forward(self, features: Tensor) -> Tensor:
        """[N, in_width, h, w] -> [N, width, h / stride, w / stride]."""
        narrowed: Tensor = self.body(features)
        return features + narrowed if self.residual else narrowed


class MobileNetV2(StagedNet):
    """MobileNetV2 for 32×32 pictures: inverted residuals with linear bottlenecks.

    Args:
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.
        width: multiplies the channels of stem and stages, rounding down; the last 1280 only grow with it.
        expansion: the paper's t of all blocks but the first, which has 1.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. The stem and `stages.1`, `stages.2`, `stages.3`
        each halve height and width, rounding up: 32×32 pictures end as 2×2. Stages end in a linear
        bottleneck, without an activation.

    Source:
        Sandler et al. 2018, "MobileNetV2", table 2, in the form of the CIFAR table of Tian et al. 2020
        (width 0.5, t = 6). Differences from the paper: stride 1 where its rows of 24 channels have 2, 16
        times smaller rather than 32; ReLU, not ReLU6; the first block keeps its 1×1 convolution though t = 1;
        no dropout; He initialisation, and a head that starts at N(0, 0.01²), its bias at zero.
    """

    def __init__(
        self, *, num_classes: int, in_channels: int = 3, width: float = 0.5, expansion: int = 6
    ) -> None:
        if int(16 * width) < 1:
            raise ModelError(f"width must leave at least one of 16 channels; it was {width!r}")
        require_positive(in_channels=in_channels, expansion=expansion)
        stem_width, last_width = int(STEM_WIDTH * width), int(LAST_WIDTH * max(1.0, width))
        stages: list[nn.Module] = []
        in_width = stem_width
        for rows in STAGES:
            stages.append(_stage(in_width, rows, width=width, expansion=expansion))
            in_width = int(rows[-1][0] * width)
        super().__init__(
            stem=conv_norm(in_channels, stem_width, stride=2),
            stages=stages,
            neck=conv_norm(in_width, last_width, size=1),
            width=last_width,
            num_classes=num_classes,
        )
        he_init_(self)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)


def _stage(
    in_width: int, rows: Sequence[tuple[int, int, int, bool]], *, width: float, expansion: int
) -> nn.Sequential:
    blocks: list[nn.Module] = []
    for channels, num_blocks, first_stride, widens in rows:
        out_width, times = int(channels * width), expansion if widens else 1
        for stride in [first_stride] + [1] * (num_blocks - 1):
            blocks.append(InvertedResidual(in_width, out_width, stride=stride, expansion=times))
            in_width = out_width
    return nn.Sequential(*blocks)


def mobilenet_v2(
    *, num_classes: int, in_channels: int = 3, width: float = 0.5, expansion: int = 6
) -> MobileNetV2:
    """MobileNetV2, 0.81 M parameters at 100 classes; arguments, shapes and source are `MobileNetV2`'s."""
    return MobileNetV2(num_classes=num_classes, in_channels=in_channels, width=width, expansion=expansion)
