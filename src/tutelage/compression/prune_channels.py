"""Channels of convolutions, heads of attention and hidden widths go, with all that depends on them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tutelage.compression.changer import Calibration, shown
from tutelage.compression.coupled import Ask
from tutelage.compression.cutting import Cut, cut_
from tutelage.compression.dependency import planned, same_answers, tried
from tutelage.compression.left import in_words, warn_of
from tutelage.compression.saliency import first_batch, gradients
from tutelage.compression.settle import settle
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.types import Batch, map_tensors

__all__ = ["BUDGETS", "prune_channels"]

BUDGETS = ("parameters", "flops", "latency")
_STEPS = 64
"""A budget is met by the smallest share of so many that meets it."""


def prune_channels(
    network: nn.Module, calibration: Calibration | None, how: Mapping[str, Any]
) -> dict[str, Any]:
    """Prune in place; `cut`, what was cut off; `left`, layers left alone with why; and the `share` that went.

    Args:
        network: its parametrised weights are made plain first.
        calibration: examples to trace it with, and to score by.
        how: `by`, `scope`, `batches`; `share`, or `budget` as {what: the part that may stay}.

    Raises:
        ModelError: nothing can be pruned, or the budget cannot be met; the network is then as it came.
        MissingExtra: Torch-Pruning is not installed.
    """
    examples = shown(calibration, name="prune with `structure: channels`")
    batch = first_batch(examples, name="prune")
    ask = _asking(examples, batch)
    plain = settle(copy.deepcopy(network))
    answers, left = tried(plain, ask)
    if how["by"] == "taylor":
        _note_gradients(plain, examples, how["batches"])

    def plan(share: float) -> Cut:
        return planned(plain, ask, how["by"], share, how["scope"], (*answers, *left))

    share = how["share"]
    if how["budget"]:
        ((what, part),) = how["budget"].items()
        share = _within(plain, plan, _cost(what, examples, ask), what, part)
    cut = plan(share)
    if not cut:
        raise ModelError(
            f"prune found no channels to take out of {type(network).__name__} at a share of {share:g}. "
            f"{in_words(left)}"
        )
    _check(plain, cut, ask)
    warn_of(left)
    cut_(settle(network), cut)
    return {"cut": cut, "left": left, "share": share}


def _asking(examples: Calibration, batch: Batch) -> Ask:
    """All floating-point tensors that a network gives for a batch, and what the task reads of it."""

    def ask(network: nn.Module) -> Sequence[Tensor]:
        found: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            if tensor.is_floating_point():
                found.append(tensor)
            return tensor

        def listen(_: nn.Module, __: object, answer: object) -> None:
            map_tensors(answer, note)

        handle = network.register_forward_hook(listen)
        try:
            said = examples.ask(network, batch)
        finally:
            handle.remove()
        map_tensors([*said.features.values(), *([] if said.logits is None else [said.logits])], note)
        if said.head is not None:
            note(said.head.whole())
        return found

    return ask


def _note_gradients(network: nn.Module, examples: Calibration, batches: int) -> None:
    """Leave the sum of the gradients over some batches with the parameters, where scores look for it."""
    parameters = list(network.parameters())
    for found in gradients(network, parameters, examples, batches=batches):
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _cost(what: str, examples: Calibration, ask: Ask) -> Callable[[nn.Module, nn.Module], float]:
    """(network before, network after) -> the part of the cost that is left."""
    if what == "latency":
        if examples.ratio is None:
            raise ModelError(
                "a budget of latency needs something that measures it; give the Calibration a `ratio`, or "
                "choose a budget of flops"
            )
        return examples.ratio
    count = _parameters if what == "parameters" else lambda network: _flops(network, ask)
    return lambda before, after: count(after) / count(before)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _flops(network: nn.Module, ask: Ask) -> int:
    with evaluating(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        ask(network)
    return max(1, int(counter.get_total_flops()))


def _within(
    network: nn.Module,
    plan: Callable[[float], Cut],
    cost: Callable[[nn.Module, nn.Module], float],
    what: str,
    part: float,
) -> float:
    """The smallest share by which the cost comes down to a part of what it was, by bisection."""

    def left_at(step: int) -> float:
        return cost(network, cut_(copy.deepcopy(network), plan(step / _STEPS)))

    low, high = 0, _STEPS - 1
    reached = left_at(high)
    if reached > part:
        raise ModelError(
            f"prune cannot bring the {what} down to {part:g} of what they were: with all but one of "
            f"{_STEPS} parts of each layer's channels taken out {reached:.3g} are left. Give a budget of "
            f"{reached:.3g} or more, or a smaller student"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if left_at(middle) <= part else (middle, high)
    return high / _STEPS


def _check(network: nn.Module, cut: Cut, ask: Ask) -> None:
    after = cut_(copy.deepcopy(network), cut)
    with evaluating(network, after), torch.no_grad():
        if not same_answers(ask(network), ask(after), values=False):
            raise ModelError(
                f"{type(network).__name__} gives answers of other shapes once its channels are pruned; "
                "choose `structure: weights`"
            )
