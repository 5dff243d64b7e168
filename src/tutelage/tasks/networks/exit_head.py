"""A small head on what a layer gives."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from tutelage.layout import channels, pooled
from tutelage.tasks.networks.checks import require_positive

__all__ = ["ExitHead"]


class ExitHead(nn.Sequential):
    """A bottleneck if wanted, the mean over positions, and a linear layer.

    Args:
        feature: what it will read, of any number of items.
        num_classes, width: see `WithExits`.
    """

    def __init__(self, feature: Tensor, *, num_classes: int, width: int = 0) -> None:
        layers: dict[str, nn.Module] = {}
        last = channels(feature)
        if width:
            require_positive(width=width)
            layers["bottleneck"] = _bottleneck(last, width, maps=feature.ndim == 4)
            last = width
        layers |= {"pool": _Pool(), "head": nn.Linear(last, num_classes)}
        super().__init__(OrderedDict(layers))


def _bottleneck(last: int, width: int, *, maps: bool) -> nn.Module:
    if not maps:
        return nn.Sequential(nn.Linear(last, width), nn.ReLU())
    conv = nn.Conv2d(last, width, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class _Pool(nn.Module):
    """The mean over positions."""

    def forward(self, feature: Tensor) -> Tensor:
        return pooled(feature)
