"""What a model costs to keep and to ask: size, arithmetic, time, memory, energy."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.evaluation.energy import joules_per_call, meter_for
from tutelage.evaluation.memory import peak_memory
from tutelage.evaluation.size import file_bytes, flops
from tutelage.modes import evaluating
from tutelage.types import map_tensors

__all__ = ["cost", "cost_of_callable"]


def cost(
    network: nn.Module,
    example: Any,
    *,
    device: torch.device | str,
    batch_sizes: Sequence[int] = (1, 32),
    runs: int = 30,
    warmup: int = 5,
) -> dict[str, Any]:
    """Measure what a network costs, in eval and inference mode; its modes and torch's RNG stay as they were.

    Args:
        network: on `device` already.
        example: what it is called with: a tensor, a tuple or a mapping of tensors whose first axis counts
            examples (one is enough). They are repeated to each batch size.
        device: where the network is.
        batch_sizes: for latency; memory and energy are measured at the greatest.
        runs: how many timed calls.
        warmup: how many calls before that.

    Returns:
        parameters: how many numbers it learns; shared ones count once.
        bytes: size of its state dict as a file; see `size.file_bytes`.
        flops: of one example; see `size.flops`.
        latency_ms: {"1": {"p50", "p95"}, "32": {…}}, milliseconds for a whole batch, by batch size.
        peak_memory_bytes: weights, inputs and live activations; see `memory.peak_memory`.
        energy_joules: of one example in the greatest batch, over half a second or more; None where no
            counter can be read.
        train_seconds: None; whoever trained it fills this in.

    Raises:
        ModelError: the network is on another device.
        ValueError: inputs without a first axis, batch sizes or runs below 1.
    """
    device = torch.device(device)
    _check_place(network, device)
    sizes = _checked(batch_sizes, runs, warmup)
    largest = _repeated(example, max(sizes), device)
    forward = partial(_call, network, largest)
    with _unseen(device), evaluating(network):
        used = {
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "bytes": file_bytes(network),
            "flops": flops(partial(_call, network, _repeated(example, 1, device))),
        }
        asked = _asked(partial(_call, network), example, sizes, device=device, runs=runs, warmup=warmup)
        memory = peak_memory(network, largest, forward, device=device)
    return {**used, **asked, "peak_memory_bytes": memory, "train_seconds": None}


def cost_of_callable(
    predict: Callable[[Any], Any],
    example: Any,
    *,
    nbytes: int | None = None,
    device: torch.device | str = "cpu",
    batch_sizes: Sequence[int] = (1, 32),
    runs: int = 30,
    warmup: int = 5,
) -> dict[str, Any]:
    """Measure what a predictor that is no network costs, such as a forest of trees.

    Args:
        predict: called with the inputs, as they are.
        example: a NumPy array, a tensor, or a tuple or mapping of tensors, whose first axis counts examples.
        nbytes: the size of its file, where somebody knows it.
        device: where it computes.
        batch_sizes, runs, warmup: as for `cost`.

    Returns:
        The keys of `cost`; parameters, flops and peak_memory_bytes are None.

    Raises:
        ValueError: as `cost`.
    """
    device = torch.device(device)
    sizes = _checked(batch_sizes, runs, warmup)
    with _unseen(device):
        asked = _asked(predict, example, sizes, device=device, runs=runs, warmup=warmup)
    unknown = {"parameters": None, "bytes": nbytes, "flops": None}
    return {**unknown, **asked, "peak_memory_bytes": None, "train_seconds": None}


def _asked(
    predict: Callable[[Any], Any],
    example: Any,
    sizes: Sequence[int],
    *,
    device: torch.device,
    runs: int,
    warmup: int,
) -> dict[str, Any]:
    """Latency at each batch size, and energy at the greatest."""
    latency = {}
    with torch.inference_mode():
        for size in sizes:
            call = _waiting(predict, _repeated(example, size, device), device)
            latency[str(size)] = _latency(call, runs=runs, warmup=warmup)
        largest = max(sizes)
        call = _waiting(predict, _repeated(example, largest, device), device)
        joules = joules_per_call(call, meter_for(device))
    return {"latency_ms": latency, "energy_joules": None if joules is None else joules / largest}


def _latency(call: Callable[[], None], *, runs: int, warmup: int) -> dict[str, float]:
    """Median and 95th percentile of a call's duration, in milliseconds."""
    for _ in range(warmup):
        call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return {"p50": float(np.percentile(times, 50)), "p95": float(np.percentile(times, 95))}


def _waiting(predict: Callable[[Any], Any], inputs: Any, device: torch.device) -> Callable[[], None]:
    """A call that returns once the device has done its work."""

    def call() -> None:
        predict(inputs)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    return call


def _call(network: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, list | tuple) else network(inputs)


def _repeated(example: Any, size: int, device: torch.device) -> Any:
    """The example's rows in turn, `size` of them, on the device."""
    lengths: list[int] = []

    def rows(length: int) -> Tensor:
        lengths.append(length)
        return torch.arange(size) % max(length, 1)

    def enlarge(tensor: Tensor) -> Tensor:
        return tensor.cpu()[rows(len(tensor))].to(device) if tensor.ndim and len(tensor) else tensor

    if isinstance(example, np.ndarray):
        repeated = example[rows(len(example)).numpy()] if example.ndim and len(example) else example
    else:
        repeated = map_tensors(example, enlarge)
    if not lengths:
        raise ValueError(
            f"an example with at least one row to measure with was expected; got {type(example).__name__} "
            "without a tensor or array whose first axis counts examples"
        )
    return repeated


def _checked(batch_sizes: Sequence[int], runs: int, warmup: int) -> list[int]:
    sizes = list(batch_sizes)
    if not sizes or min(sizes) < 1 or runs < 1 or warmup < 0:
        raise ValueError(
            f"batch sizes and runs of at least 1, and warmup of at least 0, were expected; got "
            f"batch_sizes={sizes}, runs={runs}, warmup={warmup}"
        )
    return sizes


def _check_place(network: nn.Module, device: torch.device) -> None:
    for tensor in itertools.chain(network.parameters(), network.buffers()):
        place = tensor.device
        if place.type != device.type or (device.index is not None and place.index != device.index):
            raise ModelError(f"the network is on {place}, to be measured on {device}; move it there first")


@contextmanager
def _unseen(device: torch.device) -> Iterator[None]:
    """Give torch's random numbers back as they were: some networks draw even in eval mode."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        index = torch.accelerator.current_device_index() if device.index is None else device.index
        with torch.random.fork_rng(devices=[index], device_type=device.type):
            yield
