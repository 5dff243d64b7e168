"""Quantisation-aware training: rounding that the training stage after it learns to live with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize

from tutelage.compression.changer import Calibration, Changed, Changer, shown
from tutelage.compression.fake_quantised import FakeQuantised, FakeQuantisedInput, round_inputs
from tutelage.errors import ModelError, UnknownName
from tutelage.modes import evaluating
from tutelage.traced import OnnxNetwork

__all__ = ["QuantiseAware"]

_KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_STEPS = ("learned", "range")


class QuantiseAware(Changer):
    """Quantisation-aware training (QAT) with learned steps (LSQ): weights, and what layers read, on a grid.

    Weights of linear and convolutional layers are rounded in the forward pass, each channel with a step of
    its own, and the gradient passes by the rounding. A training stage must follow. The student that is handed
    over has the rounded weights, in float32; `quantise: {how: weights}` after the training writes them in so
    few bits.

    Args:
        bits: of weights: 8, 4 or 2.
        activations: bits of what layers read, with one learned step each: 8, 4 or 2; None for float32.
        ends: bits of the weights of the first and the last layer, in the network's order of layers, which
            bear rounding least; None for `bits`.
        step: `learned` by the training, or `range`, each channel's largest weight through the largest number.

    Raises:
        ValueError: other bits.
        UnknownName: no such step.
        ModelError: a network without such layers, or one that is quantised already, when it is asked.

    Source: Esser et al. 2020, "Learned Step Size Quantization", equations 1 to 3, section 2.1 for first steps
        and the scale of their gradients. Differences: a step for each channel of a weight instead of each
        layer; a step is learned as a ratio to its first value, see `fake_quantised`; inputs of the first and
        the last layer have as many bits as the others'. For `range`: Polino et al. 2018, "Model compression
        via distillation and quantization", section 3, whose buckets are channels here, symmetric around 0.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> done = QuantiseAware(bits=2, ends=None, step="range").change(network).done
        >>> len(network[0].weight[0].unique()) <= 4
        True
    """

    settles = True

    def __init__(
        self, *, bits: int = 8, activations: int | None = None, ends: int | None = 8, step: str = "learned"
    ) -> None:
        for name, came in {"bits": bits, "activations": activations or 8, "ends": ends or 8}.items():
            if came not in (2, 4, 8):
                raise ValueError(f"{name} came as {came}; 8, 4 or 2 is expected")
        if step not in _STEPS:
            raise UnknownName("step", step, _STEPS)
        self.bits, self.activations, self.ends, self.step = bits, activations, ends, step

    def change(self, network: nn.Module, calibration: Calibration | None = None) -> Changed:
        """Round in place; the layers with their bits, and those that were left alone, with why."""
        layers, left = _layers_of(network)
        ends = {next(iter(layers)), list(layers)[-1]}
        means = {} if self.activations is None else _means(network, layers, calibration)
        told: list[dict[str, Any]] = []
        for path in layers:
            bits = self.ends if self.ends is not None and path in ends else self.bits
            one = {"layer": path, "bits": bits}
            if path in means:
                one |= {"inputs": self.activations, "unsigned": means[path][1]}
            told.append(one)
        done = {"how": "aware", "step": self.step, "layers": told, "left": left}
        if means:
            inputs = [{key: each[key] for key in each if key != "bits"} for each in told if "inputs" in each]
            done["settled"] = {"how": "aware", "step": self.step, "layers": inputs, "left": {}}
        self.replay(network, done)
        for path in layers:
            layer: Any = layers[path]
            held = layer.parametrizations["weight"]
            held[0].begin(held.original)
            if path in means:
                layer.rounding.begin(means[path][0])
        return Changed(network, done)

    def replay(self, network: nn.Module, done: Mapping[str, Any]) -> nn.Module:
        """Round in a network that was built anew; steps are loaded with its weights."""
        for told in done["layers"]:
            layer: Any = network.get_submodule(told["layer"])
            weight = layer.weight
            if "inputs" in told:
                rounding = FakeQuantisedInput(
                    bits=told["inputs"], unsigned=told["unsigned"], learns=weight.requires_grad
                )
                round_inputs(layer, rounding.to(weight))
            if "bits" in told:
                rounded = FakeQuantised(
                    len(weight),
                    weight.ndim,
                    bits=told["bits"],
                    learned=done["step"] == "learned",
                    learns=weight.requires_grad,
                )
                parametrize.register_parametrization(layer, "weight", rounded.to(weight))
            layer.train(layer.training)  # what came with it too
        return network


def _layers_of(network: nn.Module) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """Layers to round, by path, and those with weights that are left alone, with why."""
    if isinstance(network, OnnxNetwork):
        raise ModelError(
            "quantise was given a network that is an ONNX file already; quantise it by training before it "
            "is exported or quantised otherwise"
        )
    uses = Counter(id(held) for _, held in network.named_parameters(remove_duplicate=False))
    found: dict[str, nn.Module] = {}
    left: dict[str, str] = {}
    for path, module in network.named_modules():
        if not isinstance(module, _KINDS):
            continue
        if parametrize.is_parametrized(module):
            left[path] = "its weight is computed from others already"
        elif isinstance(module, NonDynamicallyQuantizableLinear):
            left[path] = "attention reads its weight without calling it"
        elif uses[id(module.weight)] > 1:
            left[path] = "it shares its weight"
        else:
            found[path] = module
    if not found:
        why = "; ".join(f"{path}: {said}" for path, said in left.items())
        raise ModelError(
            f"quantise found no linear or convolutional layer to round in {type(network).__name__}"
            + (f" ({why})" if why else "")
        )
    return found, left


def _means(
    network: nn.Module, layers: Mapping[str, nn.Module], calibration: Calibration | None
) -> dict[str, tuple[float, bool]]:
    """Of each layer that is called, the mean size of what it reads, and whether none is below 0."""
    batches = iter(shown(calibration, name="quantise with activations").batches())
    batch = next(batches, None)
    if batch is None:
        raise ModelError("quantise looks at examples, and the calibration has none; give it training batches")
    found: dict[str, tuple[float, bool]] = {}
    with _watched(layers, found), evaluating(network), torch.no_grad():
        shown(calibration, name="quantise with activations").ask(network, batch)
    for path, (mean, _) in found.items():
        if not mean < float("inf"):
            raise ModelError(
                f"quantise: {path} reads NaN or infinite numbers on calibration examples; leave them out, or "
                "fill their gaps"
            )
    return found


@contextmanager
def _watched(layers: Mapping[str, nn.Module], found: dict[str, tuple[float, bool]]) -> Iterator[None]:
    """Inside the block, layers note what they read."""
    handles = [
        layer.register_forward_pre_hook(_note(path, found), with_kwargs=True)
        for path, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _note(path: str, found: dict[str, tuple[float, bool]]) -> Any:
    def note(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen: Tensor = args[0] if args else named["input"]
        found.setdefault(path, (float(seen.abs().mean()), bool(seen.min() >= 0)))

    return note
