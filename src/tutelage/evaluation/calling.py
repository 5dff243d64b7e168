"""Call networks and other predictors as a report does: with so many rows, until the device is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tutelage.types import map_tensors

__all__ = ["asked", "asking", "repeated", "unseen"]


def asked(network: nn.Module, inputs: Any) -> Any:
    """What a network gives for a tensor, a tuple of arguments or a mapping of them."""
    if isinstance(inputs, Mapping):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, list | tuple) else network(inputs)


def asking(
    predict: Callable[[Any], Any], example: Any, size: int, device: torch.device
) -> Callable[[], None]:
    """A call with `size` rows that returns once the device has done its work.

    Args:
        predict: a network, called as `asked` does; anything else is called with the inputs as they are.
        example: see `repeated`.
        size: how many rows.
        device: where they are put.
    """
    inputs = repeated(example, size, device)
    ask = partial(asked, predict) if isinstance(predict, nn.Module) else predict

    def call() -> None:
        ask(inputs)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)

    return call


def repeated(example: Any, size: int, device: torch.device) -> Any:
    """The example's rows in turn, `size` of them, on the device.

    Raises:
        ValueError: nothing in it has a first axis that counts examples.
    """
    lengths: list[int] = []

    def rows(length: int) -> Tensor:
        lengths.append(length)
        return torch.arange(size) % max(length, 1)

    def enlarge(tensor: Tensor) -> Tensor:
        return tensor.cpu()[rows(len(tensor))].to(device) if tensor.ndim and len(tensor) else tensor

    if isinstance(example, np.ndarray):
        rows_of = example[rows(len(example)).numpy()] if example.ndim and len(example) else example
    else:
        rows_of = map_tensors(example, enlarge)
    if not lengths:
        raise ValueError(
            f"an example with at least one row to measure with was expected; got {type(example).__name__} "
            "without a tensor or array whose first axis counts examples"
        )
    return rows_of


@contextmanager
def unseen(device: torch.device) -> Iterator[None]:
    """Give torch's random numbers back as they were: some networks draw even in eval mode."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        index = torch.accelerator.current_device_index() if device.index is None else device.index
        with torch.random.fork_rng(devices=[index], device_type=device.type):
            yield
