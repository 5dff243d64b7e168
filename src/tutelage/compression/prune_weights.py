"""Single weights are masked: a share of them, or so many of each few in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression.changer import Calibration
from tutelage.compression.gradual import Gradual
from tutelage.compression.left import in_words, warn_of
from tutelage.compression.mask import Mask, Masks, unmasked_
from tutelage.compression.memory import shared_layers
from tutelage.compression.saliency import gradients
from tutelage.compression.smallest import largest_of_each, without_smallest
from tutelage.errors import ModelError

__all__ = ["mask_again", "mask_weights"]

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def mask_weights(
    network: nn.Module, calibration: Calibration | None, how: Mapping[str, Any]
) -> dict[str, Any]:
    """Mask the weights of linear and convolutional layers, in place.

    Args:
        network: masks that it has already are made plain weights first: what they made 0 counts as such.
        calibration: for scores that look at data.
        how: `by`, `scope`, `batches`; `share`, or `few` as a pair (keep, of); `gradual`, or None.

    Returns:
        What was done, in JSON: `masked` (the paths of the layers), `left` (path -> why), and what replays it.

    Raises:
        ModelError: no layer can be masked, or examples are needed that are not there.
    """
    for module in list(network.modules()):
        unmasked_(module)
    few = how["few"]
    layers, left = _maskable(network, few)
    if not layers:
        raise ModelError(
            f"prune found no weights to mask in {type(network).__name__}: linear and convolutional layers "
            f"are expected. {in_words(left)}"
        )
    warn_of(left)
    scores = _scores(network, list(layers.values()), calibration, how)
    if few:
        kept = [largest_of_each(each, *few) for each in scores]
    else:
        share = how["gradual"].first if how["gradual"] else how["share"]
        kept = without_smallest(scores, share, by_layer=how["scope"] == "layer")
    done = {
        "masked": list(layers),
        "left": left,
        "learned": how["by"] == "movement",
        "by_layer": how["scope"] == "layer",
        "share": how["share"],
        "gradual": how["gradual"].plain() if how["gradual"] else None,
        "zeros": sum(int((~each).sum()) for each in kept) / sum(each.numel() for each in kept),
    }
    _mask(list(layers.values()), kept, done)
    return done


def mask_again(network: nn.Module, done: Mapping[str, Any]) -> None:
    """Give a network that was built anew the same masks; which weights they keep comes with its weights."""
    for module in list(network.modules()):
        unmasked_(module)
    layers = [network.get_submodule(path) for path in done["masked"]]
    _mask(layers, [torch.ones_like(_weight(layer), dtype=torch.bool) for layer in layers], done)


def _mask(layers: Sequence[nn.Module], kept: Sequence[Tensor], done: Mapping[str, Any]) -> None:
    for layer, each in zip(layers, kept, strict=True):
        weight = _weight(layer)
        scores = nn.Parameter(torch.zeros_like(weight), weight.requires_grad) if done["learned"] else None
        parametrize.register_parametrization(layer, "weight", Mask(each, scores))
        layer.train(layer.training)
    if done["gradual"] is not None:
        gradual = Gradual.read(done["gradual"])
        Masks(layers, share=done["share"], by_layer=done["by_layer"], gradual=gradual)


def _maskable(network: nn.Module, few: tuple[int, int] | None) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The layers to mask, and those that are left alone with why, by path."""
    shared = shared_layers(network)
    layers: dict[str, nn.Module] = {}
    left: dict[str, str] = {}
    for path, layer in network.named_modules():
        if not isinstance(layer, LAYERS):
            continue
        if parametrize.is_parametrized(layer, "weight"):
            left[path] = "has a weight that is computed from others"
        elif path in shared:
            left[path] = f"shares its weight with {shared[path]}"
        elif few and _weight(layer).shape[1] % few[1]:
            left[path] = f"reads {_weight(layer).shape[1]} values, which is no multiple of {few[1]}"
        else:
            layers[path] = layer
    return layers, left


def _scores(
    network: nn.Module,
    layers: Sequence[nn.Module],
    calibration: Calibration | None,
    how: Mapping[str, Any],
) -> list[Tensor]:
    weights = [_weight(layer) for layer in layers]
    if how["by"] == "movement":
        return [torch.zeros_like(weight) for weight in weights]
    if how["by"] == "magnitude":
        return [weight.detach().abs() for weight in weights]
    sums = [torch.zeros_like(weight) for weight in weights]
    for found in gradients(network, weights, calibration, batches=how["batches"]):
        for total, weight, gradient in zip(sums, weights, found, strict=True):
            total += (weight.detach() * gradient).abs()
    return [total.detach() for total in sums]


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight
