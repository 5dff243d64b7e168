"""Residual networks for small pictures (ResNet)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from tutelage.tasks.networks import require_positive
from tutelage.tasks.vision.models.staged import StagedNet, conv_norm, he_init_

__all__ = [
    "ResNet",
    "resnet8",
    "resnet8x4",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet32x4",
    "resnet44",
    "resnet56",
    "resnet110",
]

NARROW = (16, 16, 32, 64)
WIDE = (32, 64, 128, 256)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, a ReLU after their sum.

    Args:
        in_width: channels in.
        width: channels out.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, in_width: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_norm(in_width, width, stride=stride), conv_norm(width, width, relu=False)
        )
        same = stride == 1 and in_width == width
        self.shortcut = (
            nn.Identity() if same else conv_norm(in_width, width, size=1, stride=stride, relu=False)
        )
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """[N, in_width, h, w] -> [N, width, h / stride, w / stride]."""
        summed: Tensor = self.relu(self.body(features) + self.shortcut(features))
        return summed


class ResNet(StagedNet):
    """A residual network (ResNet) for small pictures: a 3×3 stem, three stages of basic blocks.

    Args:
        depth: layers with weights on the longest path, 6n + 2: each stage has n blocks of two convolutions.
        widths: channels of the stem and of the three stages.
        num_classes: how many logits it answers.
        in_channels: channels of the pictures, 3 for colour.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]. `stages.0` keeps height and width, `stages.1` and
        `stages.2` halve them, rounding up; their outputs are those of the last ReLU.

    Source:
        He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2. Differences: shortcuts
        that change shape are a 1×1 convolution with batch norm (the paper's option B; its CIFAR networks
        pad with zeros, option A), as in the CIFAR table of Tian et al. 2020, "Contrastive Representation
        Distillation", where the `x4` networks also come from: a stem of 32 and stages of 64, 128, 256.
    """

    def __init__(
        self, *, depth: int, widths: Sequence[int] = NARROW, num_classes: int, in_channels: int = 3
    ) -> None:
        assert (depth - 2) % 6 == 0
        require_positive(in_channels=in_channels)
        num_blocks = (depth - 2) // 6
        stages = [
            _stage(in_width, width, num_blocks, stride=1 if index == 0 else 2)
            for index, (in_width, width) in enumerate(pairwise(widths))
        ]
        stem = conv_norm(in_channels, widths[0])
        super().__init__(stem=stem, stages=stages, width=widths[-1], num_classes=num_classes)
        he_init_(self)


def _stage(in_width: int, width: int, num_blocks: int, *, stride: int) -> nn.Sequential:
    first = BasicBlock(in_width, width, stride=stride)
    return nn.Sequential(first, *(BasicBlock(width, width, stride=1) for _ in range(num_blocks - 1)))


def resnet8(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-8, 0.08 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=8, num_classes=num_classes, in_channels=in_channels)


def resnet14(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-14, 0.18 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=14, num_classes=num_classes, in_channels=in_channels)


def resnet20(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-20, 0.28 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=20, num_classes=num_classes, in_channels=in_channels)


def resnet32(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-32, 0.47 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=32, num_classes=num_classes, in_channels=in_channels)


def resnet44(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-44, 0.67 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=44, num_classes=num_classes, in_channels=in_channels)


def resnet56(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-56, 0.86 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=56, num_classes=num_classes, in_channels=in_channels)


def resnet110(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-110, 1.74 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=110, num_classes=num_classes, in_channels=in_channels)


def resnet8x4(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-8×4, 1.23 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=8, widths=WIDE, num_classes=num_classes, in_channels=in_channels)


def resnet32x4(*, num_classes: int, in_channels: int = 3) -> ResNet:
    """ResNet-32×4, 7.43 M parameters at 100 classes; shapes and source are those of `ResNet`."""
    return ResNet(depth=32, widths=WIDE, num_classes=num_classes, in_channels=in_channels)
