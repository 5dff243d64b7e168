"""Sizes and shapes of the small convolutional networks, against the literature and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.vision import models
from tutelage.tasks.vision.models.staged import he_init_, shuffle_channels

# Millions of parameters at 100 classes, as the literature prints them; the tolerance is its rounding.
PUBLISHED = {
    "resnet8": (0.08, 0.005),
    "resnet14": (0.18, 0.005),
    "resnet20": (0.28, 0.005),
    "resnet32": (0.47, 0.005),
    "resnet44": (0.67, 0.005),
    "resnet56": (0.86, 0.005),
    "resnet110": (1.7, 0.05),
    "resnet8x4": (1.23, 0.005),
    "resnet32x4": (7.4, 0.05),
    "wrn_16_1": (0.18, 0.005),
    "wrn_16_2": (0.70, 0.005),
    "wrn_40_1": (0.57, 0.005),
    "wrn_40_2": (2.26, 0.005),
    "vgg8": (3.97, 0.005),
    "vgg13": (9.46, 0.005),
    "mobilenet_v2": (0.81, 0.005),
    "shufflenet_v1": (0.95, 0.005),
    "shufflenet_v2": (1.36, 0.005),
}
# The shape of each stage's output for a 32×32 picture: channels and side.
STAGES = {
    "resnet8": [(16, 32), (32, 16), (64, 8)],
    "resnet8x4": [(64, 32), (128, 16), (256, 8)],
    "wrn_16_2": [(32, 32), (64, 16), (128, 8)],
    "vgg8": [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)],
    "mobilenet_v2": [(12, 16), (16, 8), (48, 4), (160, 2)],
    "shufflenet_v1": [(240, 16), (480, 8), (960, 4)],
    "shufflenet_v2": [(116, 16), (232, 8), (464, 4)],
}


def num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def stage_shapes(network: nn.Module, images: Tensor) -> list[tuple[int, int]]:
    shapes: list[tuple[int, int]] = []

    def note(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        assert output.shape[2] == output.shape[3]
        shapes.append((output.shape[1], output.shape[2]))

    for stage in network.get_submodule("stages").children():
        stage.register_forward_hook(note)
    network(images)
    return shapes


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count_is_the_published_one(name: str) -> None:
    millions, rounding = PUBLISHED[name]
    assert num_parameters(getattr(models, name)(num_classes=100)) / 1e6 == pytest.approx(
        millions, abs=rounding
    )


def test_every_small_network_has_a_published_count() -> None:
    others = {"mlp", "mlp_with_exits", "reused_classifier", "thin_convnet", "transformers_classifier"}
    others |= {"image_generator", "learnt_images", "mlp_with_branches", "mlp_with_heads", "with_exits"}
    assert set(PUBLISHED) == set(models.__all__) - others


def test_resnet8_by_hand() -> None:
    stem = 3 * 16 * 9 + 2 * 16
    first = 2 * (16 * 16 * 9) + 2 * (2 * 16)
    second = 16 * 32 * 9 + 32 * 32 * 9 + 2 * (2 * 32) + (16 * 32 + 2 * 32)
    third = 32 * 64 * 9 + 64 * 64 * 9 + 2 * (2 * 64) + (32 * 64 + 2 * 64)
    head = 64 * 100 + 100
    assert stem + first + second + third + head == 83_892
    assert num_parameters(models.resnet8(num_classes=100)) == 83_892


@pytest.mark.parametrize("name", STAGES)
def test_stage_shapes(name: str) -> None:
    network = getattr(models, name)(num_classes=10)
    assert stage_shapes(network, torch.randn(2, 3, 32, 32)) == STAGES[name]


@pytest.mark.parametrize("name", ["resnet20", "resnet110", "wrn_16_1", "wrn_40_2", "vgg13"])
def test_depth_counts_the_layers_with_weights(name: str) -> None:
    network = getattr(models, name)(num_classes=10)
    layers = [module for key, module in network.named_modules() if "shortcut" not in key]
    weighted = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in layers)
    # WRN-d counts three shortcuts and not the head: d - 3 + 1. VGG-13 has one linear layer here, not three.
    said = {"resnet20": 20, "resnet110": 110, "wrn_16_1": 14, "wrn_40_2": 38, "vgg13": 11}
    assert weighted == said[name]


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_2"])
def test_he_initialisation_is_drawn(name: str) -> None:
    torch.manual_seed(0)
    network = getattr(models, name)(num_classes=10)
    conv = max((m for m in network.modules() if isinstance(m, nn.Conv2d)), key=lambda m: m.weight.numel())
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * conv.out_channels)), rel=0.03)


def test_he_initialisation_counts_an_inputs_own_group() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(512, 512, 3, groups=512)
    he_init_(conv)
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    assert conv.bias is not None
    assert not conv.bias.any()


def test_shuffle_deals_channels_out() -> None:
    features = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert shuffle_channels(features, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert torch.equal(shuffle_channels(features, 1), features)


def test_vgg_max_pools() -> None:
    network = models.vgg8(num_classes=10, max_pools=3)
    shapes = stage_shapes(network, torch.randn(2, 3, 32, 32))
    assert [side for _, side in shapes] == [32, 16, 8, 4, 4]
    with pytest.raises(ModelError, match=r"max_pools must be 0 to 4.*it was 5"):
        models.vgg8(num_classes=10, max_pools=5)


def test_mobilenet_width_that_leaves_nothing() -> None:
    with pytest.raises(ModelError, match=r"width .* it was 0\.01"):
        models.mobilenet_v2(num_classes=10, width=0.01)


def test_thin_convnet_pools_while_there_is_something_to_pool() -> None:
    network = models.thin_convnet(num_classes=10, widths=[4] * 10, downsample_every=2)
    sides: list[int] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    assert network(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    assert sides == [28, 28, 14, 14, 7, 7, 3, 3, 3, 3]


def test_thin_convnet_by_hand() -> None:
    plain = models.thin_convnet(num_classes=10, widths=[16, 12])
    assert num_parameters(plain) == (9 * 16 + 16) + (16 * 12 * 9 + 12) + (12 * 10 + 10)
    normed = models.thin_convnet(num_classes=10, widths=[16, 12], batch_norm=True)
    assert num_parameters(normed) == (9 * 16 + 2 * 16) + (16 * 12 * 9 + 2 * 12) + (12 * 10 + 10)


@pytest.mark.parametrize(("widths", "says"), [([], "widths is empty"), ([4, 0], r"widths\[1\]")])
def test_thin_convnet_wrong_widths(widths: list[int], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        models.thin_convnet(num_classes=10, widths=widths)
