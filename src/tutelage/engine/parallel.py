"""Devices and processes, through Accelerate.

Gradients are summed over processes by hand and not by a wrapper around the student: a turn may call any
module of a scheme in any way, so there is no "module inside the wrapper" to call by mistake. Each process
weighs its loss by its share of the global batch, so that the sum is the gradient of the one global mean.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType
from torch import Tensor, nn

from tutelage.engine.interrupt import StopRequest
from tutelage.engine.spread_tensors import is_spread
from tutelage.errors import MissingExtra, UnknownName

__all__ = ["Runtime"]

_BUCKET = 8 * 2**20  # elements in one exchange


class Runtime:
    """Where a run takes place.

    Args:
        cpu: stay on the CPU though there is an accelerator.
        trackers: names that Accelerate knows (`tensorboard`, `wandb`, `mlflow` …).
        folder: where trackers write.
        quiet: show no progress.
        stop: the request to stop that training heeds.
        callbacks: called with each record of the history, and under `label` what is trained, on the process
            that speaks.
    """

    def __init__(
        self,
        *,
        cpu: bool = False,
        trackers: Sequence[str] = (),
        folder: str | None = None,
        quiet: bool = False,
        stop: StopRequest | None = None,
        callbacks: Sequence[Callable[[Mapping[str, Any]], object]] = (),
    ) -> None:
        self._shares = True  # work with other processes
        self.stop = stop or StopRequest()
        _check_trackers(trackers)
        # Accelerate's state is one for the process, and the first `cpu` would hold for every later run.
        alone = os.environ.get("WORLD_SIZE", "1") == "1"
        self.accelerator = Accelerator(
            cpu=(cpu or not torch.accelerator.is_available()) and not alone,
            log_with=list(trackers) or None,
            project_dir=folder,
        )
        device = self.accelerator.device
        self._device = torch.device("cpu") if cpu or device.type == "cpu" else device  # which has no number
        self.quiet = quiet or not self.is_main
        self._tracks, self._started = bool(trackers), False
        self._callbacks = list(callbacks) if self.is_main else []

    def unheard(self) -> Runtime:
        """The same processes, of whose training nobody hears: no progress, trackers, callbacks or stops."""
        found = copy.copy(self)
        found.quiet, found._tracks, found._callbacks, found.stop = True, False, [], StopRequest()
        return found

    def apart(self) -> Runtime:
        """This process as if it were the only one: what it sums is its own."""
        found = copy.copy(self)
        found._shares = False
        return found

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        return self._device

    @property
    def rank(self) -> int:
        """The number of this process among all."""
        return int(self.accelerator.process_index) if self._shares else 0

    @property
    def world(self) -> int:
        """How many processes take part."""
        return int(self.accelerator.num_processes) if self._shares else 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks to the user."""
        return bool(self.accelerator.is_main_process)

    @property
    def stop_asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self.stop.asked

    def track(self, record: Mapping[str, Any], label: str) -> None:
        """Hand the numbers of a history record to the trackers and callbacks."""
        for call in self._callbacks:
            call({"label": label, **record})
        if self._tracks:
            if not self._started:  # not before: they write into the folder, which must be found empty
                self.accelerator.init_trackers("tutelage")
                self._started = True
            numbers = {_tag(f"{label}/{name}"): value for name, value in _numbers(record) if name != "step"}
            self.accelerator.log(numbers, step=record["step"])

    def finish(self) -> None:
        """Close the trackers."""
        if self._started:
            self.accelerator.end_training()

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        """The context of a forward pass: `bfloat16` computes in it where that is safe."""
        if precision != "bfloat16" and not torch.is_autocast_enabled(self.device.type):
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def total(self, count: int) -> int:
        """The sum of `count` over processes."""
        if self.world == 1:
            return count
        held = torch.tensor(count, device=self.device, dtype=torch.int64)
        self.sum_([held])
        return int(held)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any process."""
        return self.total(int(flag)) > 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over processes, in place, in a few large exchanges."""
        if self.world == 1:
            return
        for bucket in _buckets(tensors):
            _sum_bucket_(bucket)

    def sum_gradients_(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum gradients over processes; a parameter that no process used stays without one."""
        if self.world == 1:
            return
        # Who used what travels with the gradients: an exchange of its own costs as much as a megabyte.
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        whole = [p.grad for p in parameters if p.grad is not None and not is_spread(p.grad)]
        self.sum_([used, *whole])
        for parameter, count in zip(parameters, used.tolist(), strict=True):
            if not count:
                parameter.grad = None
            elif is_spread(parameter.grad):  # averaged over processes in the backward pass
                parameter.grad.mul_(self.world)

    def same_everywhere_(self, modules: Iterable[nn.Module], *, source: int = 0) -> None:
        """Give every process one process's parameters and buffers, by default the first one's."""
        tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
        self.same_tensors_(tensors, source=source)

    def same_tensors_(self, tensors: Iterable[Tensor], *, source: int = 0) -> None:
        """Give every process one process's values of some tensors, in place."""
        if self.world == 1:
            return
        for tensor in tensors:
            if not is_spread(tensor):
                dist.broadcast(tensor.detach(), src=source)

    def share(self, value: Any) -> Any:
        """The first process's value, on every process."""
        if self.world == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank."""
        if self.world == 1:
            return [value]
        held: list[Any] = [None] * self.world
        dist.all_gather_object(held, value)
        return held

    def wait(self) -> None:
        """Let every process arrive here before any goes on."""
        self.accelerator.wait_for_everyone()


def _check_trackers(names: Sequence[str]) -> None:
    legal = [str(kind) for kind in LoggerType if kind is not LoggerType.ALL]
    available = {str(kind) for kind in get_available_trackers()}
    for name in names:
        if name not in legal:
            raise UnknownName("tracker", name, legal)
        if name not in available:
            extra = "trackers" if name == "tensorboard" else None
            raise MissingExtra(name, extra=extra, purpose=f"the tracker {name!r}")


def _sum_bucket_(tensors: Sequence[Tensor]) -> None:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _buckets(tensors: Sequence[Tensor]) -> Iterable[list[Tensor]]:
    by_kind: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        held = by_kind.setdefault(tensor.dtype, [])
        held.append(tensor)
        if sum(t.numel() for t in held) >= _BUCKET:
            yield by_kind.pop(tensor.dtype)
    yield from by_kind.values()


def _tag(name: str) -> str:
    """A name that every tracker takes: letters, digits, spaces and _ - . : / alone."""
    return re.sub(r"[^\w .:/-]", "_", name.replace(", ", "/"), flags=re.ASCII)


def _numbers(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", value
