"""ShuffleNet V2 for small pictures."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, conv_norm, shuffle_channels

__all__ = ["ShuffleNetV2", "shufflenet_v2"]

WIDTHS = (24, 116, 232, 464)
NUM_UNITS = (4, 8, 4)
LAST_WIDTH = 1024


def _branch(in_width: int, width: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        conv_norm(in_width, width, size=1),
        conv_norm(width, width, stride=stride, groups=width, relu=False),
        conv_norm(width, width, size=1),
    )


class SplitUnit(nn.Module):
    """Half of the channels pass, half are filtered; a shuffle mixes them.

    Args:
        width: channels in and out, an even number.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = _branch(width // 2, width // 2, stride=1)

    def forward(self, features: Tensor) -> Tensor:
        """[N, width, h, w] -> the same shape."""
        passed, taken = features.chunk(2, dim=1)
        return shuffle_channels(torch.cat([passed, self.branch(taken)], dim=1), 2)


class ShrinkUnit(nn.Module):
    """Two branches of stride 2, each of all channels, beside each other; a shuffle mixes them.

    Args:
        in_width: channels in.
        width: channels out, an even number.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.short_branch = nn.Sequential(
            conv_norm(in_width, in_width, stride=2, groups=in_width, relu=False),
            conv_norm(in_width, half, size=1),
        )
        self.branch = _branch(in_width, half, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """[N, in_width, h, w] -> [N, width, h / 2, w / 2], rounding up."""
        joined = torch.cat([self.short_branch(features), self.branch(features)], dim=1)
        return shuffle_channels(joined, 2)


class ShuffleNetV2(StagedNet):
    """ShuffleNet V2 of size 1×, for 32×32 pictures.

    Args:
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. The stem keeps height and width; `stages.0`,
        `stages.1`, `stages.2` each halve them, rounding up, with 116, 232 and 464 channels, after a ReLU.

    Source:
        Ma et al. 2018, "ShuffleNet V2", table 5 (1×) and figure 3c, d, in the form of the CIFAR table of Tian
        et al. 2020. Difference from the paper: a 1×1 stem of stride 1 without max-pool. Weights start as
        torch starts them.
    """

    def __init__(self, *, num_classes: int, in_channels: int = 3) -> None:
        require_positive(in_channels=in_channels)
        stages = [
            nn.Sequential(ShrinkUnit(in_width, width), *(SplitUnit(width) for _ in range(num_units - 1)))
            for (in_width, width), num_units in zip(pairwise(WIDTHS), NUM_UNITS, strict=True)
        ]
        super().__init__(
            stem=conv_norm(in_channels, WIDTHS[0], size=1),
            stages=stages,
            neck=conv_norm(WIDTHS[-1], LAST_WIDTH, size=1),
            width=LAST_WIDTH,
            num_classes=num_classes,
        )


def shufflenet_v2(*, num_classes: int, in_channels: int = 3) -> ShuffleNetV2:
    """ShuffleNet V2 1×, 1.36 M parameters at 100 classes; shapes and source are `ShuffleNetV2`'s."""
    return ShuffleNetV2(num_classes=num_classes, in_channels=in_channels)
