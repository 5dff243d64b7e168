"""The convolutional projector."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tutelage.errors import ModelError
from tutelage.projectors import Conv


def plain(size: tuple[int, int] | None) -> Conv:
    projector = Conv(in_channels=1, out_channels=1, size=size)
    with torch.no_grad():
        projector.map.weight.fill_(2.0)
        projector.map.bias.fill_(1.0)
    return projector


def test_channels_are_mapped() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert torch.equal(plain(None)(x), 2 * x + 1)
    assert torch.equal(plain((2, 3))(x), 2 * x + 1)


def test_a_larger_map_is_averaged() -> None:
    x = torch.tensor([[0.0, 2.0, 4.0, 6.0], [4.0, 6.0, 0.0, 2.0]]).reshape(1, 1, 2, 4)
    assert plain((1, 2))(x).flatten().tolist() == [7.0, 7.0]  # 2 · mean(0, 2, 4, 6) + 1


def test_a_smaller_map_is_interpolated() -> None:
    x = torch.tensor([[0.0, 4.0]]).reshape(1, 1, 1, 2)
    assert plain((1, 4))(x).flatten().tolist() == [1.0, 3.0, 7.0, 9.0]


def test_each_axis_for_itself() -> None:
    torch.manual_seed(0)
    projector, x = Conv(in_channels=3, out_channels=5, size=(2, 8)), torch.randn(2, 3, 6, 4)
    expected = F.interpolate(F.adaptive_avg_pool2d(projector.map(x), (2, 4)), size=(2, 8), mode="bilinear")
    torch.testing.assert_close(projector(x), expected)


def test_another_precision_is_cast() -> None:
    x = torch.ones(1, 1, 4, 4, dtype=torch.bfloat16)
    assert plain((2, 2))(x).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 4, 3, 3), (2, 1, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="from 1 channels"):
        plain(None)(torch.zeros(shape))
