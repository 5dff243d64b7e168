"""A network that answers logits and nothing else, ready to be traced."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from functools import wraps
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.capture import head_of, logits_of
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.types import map_tensors

__all__ = ["Logits", "ready", "rows", "tensors_of"]


class Logits(nn.Module):
    """A network that answers logits, whatever the one inside answers; called with the same arguments."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

        @wraps(network.forward)  # the names of the inputs are those of the network
        def forward(*args: Any, **kwargs: Any) -> Tensor:
            answer = network(*args, **kwargs)
            logits, head = logits_of(answer), head_of(answer)
            if head is not None:
                return head.whole()
            if logits is None:
                raise ModelError(
                    f"{type(network).__name__} left its logits empty; export the whole network, its last "
                    "layer included"
                )
            return logits

        self.forward = forward


@contextlib.contextmanager
def ready(network: nn.Module) -> Iterator[Logits]:
    """Inside the block, a network's logits: on the CPU, in eval mode, without gradients."""
    if any(tensor.device.type != "cpu" for tensor in chain(network.parameters(), network.buffers())):
        network = copy.deepcopy(network).cpu()
    with evaluating(network), torch.no_grad():
        yield Logits(network).eval()


def rows(example: Any, count: int) -> Any:
    """`count` examples on the CPU, taken from `example` and, where it has fewer, repeated."""
    return map_tensors(example, lambda tensor: tensor.detach().cpu()[torch.arange(count) % len(tensor)])


def tensors_of(inputs: Any) -> list[Tensor]:
    """The tensors among a network's inputs, in their order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(inputs, note)
    return found
