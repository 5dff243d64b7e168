"""What a model costs to keep and to ask: size, arithmetic, time, memory, energy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.evaluation.calling import asked, asking, repeated, unseen
from tutelage.evaluation.energy import joules_per_call, meter_for
from tutelage.evaluation.latency import Timing, compare
from tutelage.evaluation.memory import peak_memory
from tutelage.evaluation.size import file_bytes, flops
from tutelage.modes import evaluating
from tutelage.traced import OnnxNetwork

__all__ = ["cost", "cost_of_callable", "latencies"]

_ALONE = 1.0  # seconds for the latency of a single network at one batch size


def cost(
    network: nn.Module,
    example: Any,
    *,
    device: torch.device | str,
    batch_sizes: Sequence[int] = (1, 32),
    latency: bool = True,
    budget: float = _ALONE,
) -> dict[str, Any]:
    """Measure what a network costs, in eval and inference mode; its modes and torch's RNG stay as they were.

    Args:
        network: on `device` already.
        example: what it is called with: a tensor, a tuple or a mapping of tensors whose first axis counts
            examples (one is enough). They are repeated to each batch size.
        device: where the network is.
        batch_sizes: for latency; memory and energy are measured at the greatest.
        latency: whether to time it; `latencies` times several networks beside one another.
        budget: seconds of timing at each batch size, at most; fewer where the median is stable before.

    Returns:
        parameters: how many numbers it learns; shared ones count once. Of a network in the form of ONNX, as
            flops, those of the network that it came from.
        bytes: size of its state dict as a file; see `size.file_bytes`.
        flops: of one example; see `size.flops`.
        latency_ms: {"1": {"p50", "p95", "p99", "stable", "threads"}, "32": {…}}, milliseconds for a whole
            batch, by batch size; see `latency.Timing`. Empty where it was not asked for.
        peak_memory_bytes: weights, inputs and live activations; see `memory.peak_memory`.
        energy_joules: of one example in the greatest batch, over half a second or more; None where no
            counter can be read.
        train_seconds: None; whoever trained it fills this in.

    Raises:
        ModelError: the network is on another device.
        ValueError: inputs without a first axis, batch sizes below 1, a budget below 0.
    """
    device = torch.device(device)
    _check_place(network, device)
    sizes = _checked(batch_sizes)
    largest = repeated(example, max(sizes), device)
    with unseen(device), evaluating(network):
        stands = next((one.stands for one in network.modules() if isinstance(one, OnnxNetwork)), None)
        used = {
            "parameters": stands.parameters if stands else sum(held.numel() for held in network.parameters()),
            "bytes": file_bytes(network),
            "flops": stands.flops if stands else flops(partial(asked, network, repeated(example, 1, device))),
        }
        spent = _spent(network, example, sizes, device=device, budget=budget if latency else None)
        memory = peak_memory(network, largest, partial(asked, network, largest), device=device)
    return {**used, **spent, "peak_memory_bytes": memory, "train_seconds": None}


def cost_of_callable(
    predict: Callable[[Any], Any],
    example: Any,
    *,
    nbytes: int | None = None,
    device: torch.device | str = "cpu",
    batch_sizes: Sequence[int] = (1, 32),
    latency: bool = True,
    budget: float = _ALONE,
) -> dict[str, Any]:
    """Measure what a predictor that is no network costs, such as a forest of trees.

    Args:
        predict: called with the inputs, as they are.
        example: a NumPy array, a tensor, or a tuple or mapping of tensors, whose first axis counts examples.
        nbytes: the size of its file, where somebody knows it.
        device: where it computes.
        batch_sizes, latency, budget: as for `cost`.

    Returns:
        The keys of `cost`; parameters, flops and peak_memory_bytes are None.

    Raises:
        ValueError: as `cost`.
    """
    device = torch.device(device)
    sizes = _checked(batch_sizes)
    with unseen(device):
        spent = _spent(
            lambda inputs: predict(inputs), example, sizes, device=device, budget=budget if latency else None
        )
    unknown = {"parameters": None, "bytes": nbytes, "flops": None}
    return {**unknown, **spent, "peak_memory_bytes": None, "train_seconds": None}


def latencies(
    named: Mapping[str, tuple[Callable[[Any], Any], Any]],
    device: torch.device | str,
    batch_sizes: Sequence[int] = (1, 32),
    *,
    reference: str | None = None,
    budget: float | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Time several networks beside one another, so that the ratios of their latencies hold.

    They run in eval and inference mode; modes, torch's RNG and threads stay as they were.

    Args:
        named: name -> (network on the device, or other callable; its example). Networks are called as `cost`
            calls them, other callables as `cost_of_callable` does.
        device: where all of them are.
        batch_sizes: how many rows.
        reference: the name that the others are held against; None for the first.
        budget: seconds at each batch size; see `latency.compare`.

    Returns:
        name -> batch size -> {"p50", "p95", "p99", "stable", "threads"}, for all but the reference also
        "against", "ratio" and "interval". Where "stable" is false, the ratio makes no headline.

    Raises:
        ModelError, ValueError: as `cost`; also without names, or with a reference that is not among them.
    """
    device = torch.device(device)
    sizes = _checked(batch_sizes)
    networks = [predict for predict, _ in named.values() if isinstance(predict, nn.Module)]
    for network in networks:
        _check_place(network, device)
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in named}
    with unseen(device), evaluating(*networks), torch.inference_mode():
        for size in sizes:
            calls = {name: asking(*pair, size, device) for name, pair in named.items()}
            timings = compare(calls, reference=reference, device=device, budget=budget)
            against = reference or next(iter(named))
            for name, timing in timings.items():
                found[name][str(size)] = timing.entry() | _beside(timing, against)
    return found


def _beside(timing: Timing, reference: str) -> dict[str, Any]:
    if timing.interval is None:
        return {}
    return {"against": reference, "ratio": timing.ratio, "interval": list(timing.interval)}


def _spent(
    predict: Callable[[Any], Any],
    example: Any,
    sizes: Sequence[int],
    *,
    device: torch.device,
    budget: float | None,
) -> dict[str, Any]:
    """Latency at each batch size, unless there is no budget for it, and energy at the greatest."""
    timed = {}
    if budget is not None:
        timed = latencies({"it": (predict, example)}, device, sizes, budget=budget)["it"]
    largest = max(sizes)
    with torch.inference_mode():
        call = asking(predict, example, largest, device)
        joules = joules_per_call(call, meter_for(device))
    return {"latency_ms": timed, "energy_joules": None if joules is None else joules / largest}


def _checked(batch_sizes: Sequence[int]) -> list[int]:
    sizes = list(batch_sizes)
    if not sizes or min(sizes) < 1:
        raise ValueError(f"batch sizes of at least 1 were expected; got batch_sizes={sizes}")
    return sizes


def _check_place(network: nn.Module, device: torch.device) -> None:
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        place = tensor.device
        if place.type != device.type or (device.index is not None and place.index != device.index):
            raise ModelError(f"the network is on {place}, to be measured on {device}; move it there first")
