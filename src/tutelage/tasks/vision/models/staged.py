"""The frame that the convolutional networks share, and the parts they are made of."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.tasks.networks import require_positive

__all__ = ["StagedNet", "conv_norm", "he_init_", "shuffle_channels"]


class StagedNet(nn.Module):
    """Stem, stages, neck, global average pool, head: the frame of each convolutional classifier here.

    No activation works in place, so that what a hook takes from a layer stays what the layer gave.

    Args:
        stem: from the picture to the first feature map.
        stages: one module for each resolution; `stages.i` names its output.
        width: channels of the last feature map.
        num_classes: how many logits it answers.
        neck: what stands between the last stage and the pool; nothing if None.

    Shapes:
        [N, in_channels, height, width] -> [N, num_classes]; height and width from 16 up, of any kind. While
        training, the smallest pictures need two examples a batch, for the statistics of batch norm.
    """

    def __init__(
        self,
        *,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        width: int,
        num_classes: int,
        neck: nn.Module | None = None,
    ) -> None:
        super().__init__()
        require_positive(num_classes=num_classes)
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.neck = nn.Identity() if neck is None else neck
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Float[Tensor, "items channels height width"]) -> Float[Tensor, "items classes"]:
        """Logits of a batch."""
        features = self.stem(images)
        for stage in self.stages:
            features = stage(features)
        pooled = self.pool(self.neck(features))
        logits: Tensor = self.head(pooled.flatten(1))
        return logits


def conv_norm(
    in_width: int, width: int, *, size: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, then batch norm, then ReLU unless `relu` is false."""
    conv = nn.Conv2d(in_width, width, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    layers: dict[str, nn.Module] = {"conv": conv, "norm": nn.BatchNorm2d(width)}
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(OrderedDict(layers))


def he_init_(network: nn.Module) -> None:
    """Draw each convolution's weights from N(0, 2 / fan_out), and set its bias to zero.

    Source:
        He et al. 2015, "Delving Deep into Rectifiers", equation 14. In a grouped convolution only the
        outputs of an input's own group count, which the paper does not treat.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def shuffle_channels(features: Tensor, groups: int) -> Tensor:
    """Deal the channels out, so that the next groups hold some of each of these `groups`.

    Source:
        Zhang et al. 2018, "ShuffleNet", figure 1 and section 3.1.
    """
    num_items, width, height, across = features.shape
    grouped = features.reshape(num_items, groups, width // groups, height, across)
    return grouped.transpose(1, 2).reshape(features.shape)
