"""Rounding that a training goes through: numbers on a grid, with gradients that pass by it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["FakeQuantised", "FakeQuantisedInput", "Grid", "round_inputs", "steps_of"]

_LEAST = 1e-12


class FakeQuantised(nn.Module):
    """A weight rounded to few bits, a parametrisation: symmetric, with a step for each channel.

    Args:
        channels: how many.
        axes: of the weight; its first axis counts channels.
        bits: of the rounded numbers, -2^(bits-1) to 2^(bits-1) - 1 steps.
        learned: whether steps are learned, or follow each channel's largest weight.
        learns: whether the weight does.
    """

    first: Tensor

    def __init__(self, channels: int, axes: int, *, bits: int, learned: bool, learns: bool = True) -> None:
        super().__init__()
        self.bits, self.learned = bits, learned
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        shape = (channels, *[1] * (axes - 1))
        if learned:
            self.register_buffer("first", torch.ones(shape))
            self.ratio = nn.Parameter(torch.ones(shape), requires_grad=learns)

    def begin(self, weight: Tensor) -> None:
        """Set the first steps to 2 · mean|w| / √high, of each channel."""
        if self.learned:
            mean = weight.detach().abs().flatten(1).mean(1).reshape(self.first.shape)
            self.first = (2 * mean / math.sqrt(self.high)).clamp(min=_LEAST)

    def step(self, weight: Tensor) -> Tensor:
        """The step of each channel, [channels, 1, …]."""
        if self.learned:
            return _learned_step(self.first, self.ratio, weight[0].numel(), self.high)
        most = weight.detach().abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.ndim - 1))
        step: Tensor = (most / self.high).clamp(min=_LEAST)
        return step

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid; the gradient passes by the rounding."""
        step = self.step(weight)
        if self.learned:
            return _on_grid(weight, step, self.low, self.high)
        rounded = (weight / step).round().clamp(self.low, self.high) * step
        return weight + (rounded - weight).detach()

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What a weight is kept as: itself."""
        return weight


class FakeQuantisedInput(nn.Module):
    """What goes into a layer, rounded to few bits with one learned step.

    Args:
        bits: of the rounded numbers.
        unsigned: whether they begin at 0, as after a ReLU.
        learns: whether the layer does.
    """

    first: Tensor

    def __init__(self, *, bits: int, unsigned: bool, learns: bool = True) -> None:
        super().__init__()
        self.low = 0 if unsigned else -(2 ** (bits - 1))
        self.high = 2**bits - 1 if unsigned else 2 ** (bits - 1) - 1
        self.register_buffer("first", torch.ones(()))
        self.ratio = nn.Parameter(torch.ones(()), requires_grad=learns)

    def begin(self, mean: float) -> None:
        """Set the first step to 2 · mean|x| / √high."""
        self.first = torch.full_like(self.first, max(2 * mean / math.sqrt(self.high), _LEAST))

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs on their grid."""
        step = _learned_step(self.first, self.ratio, max(1, inputs[:1].numel()), self.high)
        return _on_grid(inputs, step, self.low, self.high)


class Grid(NamedTuple):
    """What a rounded weight lies on.

    Args:
        step: of each channel, [channels].
        bits: of the whole numbers.
        weight: rounded, [channels, others].
    """

    step: Any
    bits: int
    weight: Any


def round_inputs(layer: nn.Module, rounding: FakeQuantisedInput) -> None:
    """Let a layer round what it is called with; the rounding is its submodule `rounding`."""
    layer.rounding = rounding
    layer.register_forward_pre_hook(_rounded_call, with_kwargs=True)


def steps_of(network: nn.Module) -> Mapping[str, Grid]:
    """The grids of rounded weights, by the layers' paths."""
    found = {}
    for path, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            held: Any = module.parametrizations["weight"]
            if len(held) == 1 and isinstance(held[0], FakeQuantised):
                with torch.no_grad():
                    step, rounded = held[0].step(held.original), held()
                found[path] = Grid(
                    step.flatten().cpu().numpy(), held[0].bits, rounded.flatten(1).cpu().numpy()
                )
    return found


def _rounded_call(layer: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if args:
        return (layer.rounding(args[0]), *args[1:]), named
    return args, {**named, "input": layer.rounding(named["input"])}


def _learned_step(first: Tensor, ratio: Tensor, count: int, high: int) -> Tensor:
    """The step now; its gradient is that of learned step sizes, whatever the step's own size.

    The paper learns the step s with its gradient times g = 1 / √(count · high). Here s = first · ratio is
    learned by its ratio, with the gradient times g / first², which moves s alike under gradient descent; and
    under optimisers that take no heed of a gradient's size it moves by a share of itself.
    """
    scale = 1 / (math.sqrt(count * high) * first.square())
    scaled = (ratio - ratio * scale).detach() + ratio * scale
    return first * scaled.abs().clamp(min=1e-3)


def _on_grid(values: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    scaled = (values / step).clamp(low, high)
    whole: Tensor = scaled + (scaled.round() - scaled).detach()
    return whole * step
