"""What each exported builder keeps: a new one is tested the day it stands in `__all__`."""

from __future__ import annotations

import inspect
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.vision import models

CLASSES = 7
VIT = {
    "model_type": "vit",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
# What a builder needs beside num_classes, to read 3×32×32 pictures.
TAUGHT = Path(tempfile.mkdtemp()) / "teacher.safetensors"
save_file(models.resnet14(num_classes=CLASSES).state_dict(), TAUGHT)
NEEDS: dict[str, dict[str, Any]] = {
    "mlp": {"in_features": 3 * 32 * 32, "widths": [16, 8]},
    "mlp_with_branches": {"in_features": 3 * 32 * 32, "trunk": [16], "branch": [8]},
    "mlp_with_exits": {"in_features": 3 * 32 * 32, "widths": [16, 8]},
    "reused_classifier": {"student": "resnet8", "teacher": "resnet14", "weights": str(TAUGHT)},
    "thin_convnet": {"in_channels": 3, "widths": [8, 8, 12, 12]},
    "transformers_classifier": {"config": VIT},
}
# These make pictures, answer several questions, or stand around another network, and have tests of their own.
OTHERS = ("image_generator", "learnt_images", "mlp_with_heads", "with_exits")
CLASSIFIERS = [name for name in models.__all__ if name not in OTHERS]
STAGED = [name for name in CLASSIFIERS if name not in NEEDS]
LARGER = ("resnet32", "resnet32x4", "resnet44", "resnet56", "resnet110", "vgg13", "wrn_40_1", "wrn_40_2")


def quickly(names: list[str]) -> list[Any]:
    """Builders by name; larger ones of a family are slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in LARGER else []) for name in names]


def build(name: str, **keywords: Any) -> nn.Module:
    network: nn.Module = getattr(models, name)(num_classes=CLASSES, **(NEEDS.get(name, {}) | keywords))
    return network


@cache
def ready(name: str) -> nn.Module:
    """A network for tests that leave it as it is."""
    return build(name, **({"in_channels": 1} if name in STAGED else {}))


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    answer = network(images)
    if isinstance(answer, dict):
        return torch.stack([*answer.values()]).sum(0)  # all exits
    return answer if isinstance(answer, Tensor) else answer.logits


@pytest.fixture(params=quickly(CLASSIFIERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_arguments_are_keyword_only(name: str) -> None:
    parameters = inspect.signature(getattr(models, name)).parameters.values()
    assert {parameter.kind for parameter in parameters} == {inspect.Parameter.KEYWORD_ONLY}
    assert getattr(models, name).__doc__


def test_answers_and_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = build(name).train()
    logits = logits_of(network, torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, CLASSES)
    assert torch.isfinite(logits).all()
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    moved = {key: held for key, held in network.named_parameters() if held.requires_grad}
    assert moved
    assert not [key for key, parameter in moved.items() if parameter.grad is None]
    assert all(torch.isfinite(parameter.grad).all() for parameter in moved.values())


def test_same_seed_same_network_and_safetensors_round_trip(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = build(name).eval()
    torch.manual_seed(3)
    twin = build(name).eval()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(4)
    other = build(name).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = logits_of(network, images)
        assert not torch.equal(logits_of(other, images), expected)
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(logits_of(other, images), expected)


def test_no_activation_works_in_place(name: str) -> None:
    assert not [module for module in ready(name).modules() if getattr(module, "inplace", False)]


@pytest.mark.parametrize("name", quickly(STAGED))
@pytest.mark.parametrize("size", [28, 16])
def test_reads_small_grey_pictures(name: str, size: int) -> None:
    network = ready(name).train()
    with torch.no_grad():
        assert network(torch.randn(2, 1, size, size)).shape == (2, CLASSES)


@pytest.mark.parametrize("name", quickly(STAGED))
def test_parts_have_the_uniform_names(name: str) -> None:
    children = [child for child, _ in ready(name).named_children()]
    assert children == ["stem", "stages", "neck", "pool", "head"]


@pytest.mark.parametrize("name", [name for name in STAGED if "110" not in name and "32" not in name])
@pytest.mark.parametrize("wrong", [{"num_classes": 0}, {"in_channels": 0}])
def test_counts_below_one_are_refused(name: str, wrong: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(wrong))} must be an integer of at least 1; it was 0"):
        getattr(models, name)(**({"num_classes": CLASSES} | wrong))
