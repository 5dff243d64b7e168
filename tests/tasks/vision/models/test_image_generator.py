"""Images from noise: their shape, their range, what is refused."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.tasks.vision import models


@pytest.mark.parametrize(("features", "size"), [(64, None), (3 * 28 * 28, None), (3 * 9 * 14, [9, 14])])
def test_images_have_the_shape_of_the_task(features: int, size: list[int] | None):
    channels = 1 if features == 64 else 3
    network = models.image_generator(in_channels=channels, in_features=features, noise=7, size=size)
    images = network(torch.randn(2, 7))
    assert images.shape[:2] == (2, channels)
    assert images[0].numel() == features
    assert images.abs().max() <= 1
    with pytest.raises(ModelError, match=r"shape \[2, 6\]; this generator reads \[items, 7\]"):
        network(torch.randn(2, 6))


def test_a_generator_needs_widths():
    with pytest.raises(ModelError, match="widths is empty"):
        models.image_generator(in_channels=1, in_features=64, noise=7, widths=[])


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_parameter_gets_a_gradient(batch_norm: bool):
    torch.manual_seed(0)
    network = models.image_generator(in_channels=1, in_features=64, noise=7, batch_norm=batch_norm)
    network(torch.randn(3, 7)).square().mean().backward()
    assert all(held.grad is not None and held.grad.isfinite().all() for held in network.parameters())


def test_pixels_reach_as_far_as_they_are_told():
    network = models.image_generator(in_channels=1, in_features=64, noise=7, reach=3.0)
    images = network(100 * torch.randn(8, 7))
    assert 1 < images.abs().max() <= 3
