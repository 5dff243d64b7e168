"""ShuffleNet, the first version, for small pictures."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, conv_norm, shuffle_channels

__all__ = ["ShuffleNetV1", "shufflenet_v1"]

GROUPS = 3
WIDTHS = (24, 240, 480, 960)
NUM_UNITS = (4, 8, 4)


class ShuffleUnit(nn.Module):
    """A bottleneck of grouped 1×1 convolutions with a channel shuffle between them.

    Args:
        in_width: channels in.
        width: channels out. Where it grows, the unit halves the resolution and sets its own channels beside
            the average-pooled input; where it does not, it adds to the input.
        groups: of the last 1×1 convolution.
        first_groups: of the first 1×1 convolution, and of the shuffle.
    """

    def __init__(self, in_width: int, width: int, *, groups: int, first_groups: int) -> None:
        super().__init__()
        self.shrinks = width != in_width
        own_width = width - in_width if self.shrinks else width
        middle = own_width // 4
        self.first_groups = first_groups
        self.squeeze = conv_norm(in_width, middle, size=1, groups=first_groups)
        self.filter = conv_norm(middle, middle, stride=2 if self.shrinks else 1, groups=middle)
        self.expand = conv_norm(middle, own_width, size=1, groups=groups, relu=False)
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if self.shrinks else nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """[N, in_width, h, w] -> [N, width, h, w], or [N, width, h / 2, w / 2] where the width grows."""
        own = self.expand(self.filter(shuffle_channels(self.squeeze(features), self.first_groups)))
        kept = self.shortcut(features)
        joined: Tensor = self.relu(torch.cat([own, kept], dim=1) if self.shrinks else own + kept)
        return joined


class ShuffleNetV1(StagedNet):
    """ShuffleNet with three groups, for 32×32 pictures.

    Args:
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. The stem keeps height and width; `stages.0`,
        `stages.1`, `stages.2` each halve them, rounding up, with 240, 480 and 960 channels, after a ReLU.

    Source:
        Zhang et al. 2018, "ShuffleNet", table 1, column g = 3, in the form of the CIFAR table of Tian et al.
        2020. Differences from the paper: a 1×1 stem of stride 1 without max-pool; a ReLU after the
        channelwise convolution too; a shrinking unit's middle is a quarter of the channels that it adds;
        after a stem of 24 channels the first 1×1 convolution is not grouped (as the paper has it), and there
        nothing is shuffled. Weights start as torch starts them.
    """

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        require_positive(in_channels=in_channels)
        stages = [
            _stage(in_width, width, num_units, first_groups=1 if index == 0 else GROUPS)
            for index, ((in_width, width), num_units) in enumerate(
                zip(pairwise(WIDTHS), NUM_UNITS, strict=True)
            )
        ]
        stem = conv_norm(in_channels, WIDTHS[0], size=1)
        super().__init__(stem=stem, stages=stages, width=WIDTHS[-1], num_classes=num_classes)


def _stage(in_width: int, width: int, num_units: int, *, first_groups: int) -> nn.Sequential:
    first = ShuffleUnit(in_width, width, groups=GROUPS, first_groups=first_groups)
    rest = (ShuffleUnit(width, width, groups=GROUPS, first_groups=GROUPS) for _ in range(num_units - 1))
    return nn.Sequential(first, *rest)


def shufflenet_v1(*, num_classes: int, in_channels: int = 3) -> ShuffleNetV1:
    """ShuffleNet, g = 3, 0.95 M parameters at 100 classes; shapes and source are `ShuffleNetV1`'s."""
    return ShuffleNetV1(num_classes=num_classes, in_channels=in_channels)
