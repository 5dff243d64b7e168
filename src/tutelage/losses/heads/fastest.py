"""Of several ways to one value, the one that takes the least time, by measurement."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median

import torch
from torch import Tensor

from tutelage.types import HeadLogits

__all__ = ["Way", "fastest"]

Way = Callable[[HeadLogits], Tensor]
"""A student's head -> a value, differentiable once."""

_CHOSEN: dict[Hashable, str] = {}
_ROUNDS = 3


def fastest(ways: Mapping[str, Way], student: HeadLogits, *, of: str) -> Way:
    """The way with the shortest median time for the value and its gradients.

    It is measured with this very student, once in a process for each purpose, device, dtype, width, number of
    classes and, to a power of two, of items; each way first runs once for itself. One that runs out of memory
    is out. What was found is logged.

    Args:
        ways: by their names; the first is kept where nothing can be measured, as without gradients.
        student: the head to compare.
        of: what they compute.

    Example:
        >>> head = HeadLogits(torch.ones(1, 2, requires_grad=True), torch.ones(3, 2))
        >>> quick = lambda head: head.whole().sum()
        >>> slow = lambda head: (time.sleep(0.01), quick(head))[1]
        >>> fastest({"slow": slow, "quick": quick}, head, of="a sum") is quick
        True
    """
    first = next(iter(ways))
    trained = torch.is_grad_enabled() and (student.hidden.requires_grad or student.weight.requires_grad)
    if len(ways) == 1 or not trained:
        return ways[first]
    key = (of, *ways, *_kind(student))
    if key not in _CHOSEN:
        seconds = _measured(ways, student)
        _CHOSEN[key] = min(seconds, key=seconds.__getitem__) if seconds else first
        said = ", ".join(f"{name} {1e3 * took:.2f} ms" for name, took in seconds.items())
        shape = f"{list(student.shape)} on {student.hidden.device}"
        logging.getLogger(__name__).info("%s %s: %s; %s is used", of, shape, said, _CHOSEN[key])
    return ways[_CHOSEN[key]]


def _kind(student: HeadLogits) -> tuple[Hashable, ...]:
    items = student.shape[:-1].numel()
    return student.hidden.device, student.hidden.dtype, student.weight.shape, items.bit_length()


def _measured(ways: Mapping[str, Way], student: HeadLogits) -> dict[str, float]:
    """The median seconds of each way that has the memory, in turns."""
    able = {name: way for name, way in ways.items() if _seconds(way, student) is not None}
    rounds = [{name: _seconds(way, student) for name, way in able.items()} for _ in range(_ROUNDS)]
    return {name: median(one[name] or 0.0 for one in rounds) for name in able}


def _seconds(way: Way, student: HeadLogits) -> float | None:
    """How long a value and its gradients take; None if the memory is not enough."""
    wanted = [held for held in (student.hidden, student.weight) if held.requires_grad]
    start = _now(student.hidden.device)
    try:
        torch.autograd.grad(way(student), wanted)
    except torch.OutOfMemoryError:
        return None
    return _now(student.hidden.device) - start


def _now(device: torch.device) -> float:
    """The clock, once the device has done its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
