"""Training examples as a network reads them, checked before a change looks at them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.capture import call
from tutelage.compression.changer import Calibration
from tutelage.errors import ModelError, first_line
from tutelage.modes import evaluating
from tutelage.types import map_tensors

__all__ = ["calibration_inputs"]


def calibration_inputs(network: nn.Module, calibration: Calibration, *, count: int, name: str) -> list[Any]:
    """What a network is called with on the first examples, batch by batch, on the CPU.

    Args:
        network: which is asked, in eval mode.
        calibration: the examples.
        count: how many examples; fewer where there are fewer.
        name: of the change, for messages.

    Raises:
        ModelError: there are none, some hold NaN or infinite numbers, or their shapes differ or are not those
            that the network takes.
    """
    noting, found, seen = _Noting(network), [], 0
    shapes: list[list[int]] = []
    with evaluating(noting), torch.no_grad():
        for number, batch in enumerate(calibration.batches()):
            if seen >= count:
                break
            try:
                calibration.ask(noting, batch)
            except (RuntimeError, TypeError, IndexError) as error:
                raise ModelError(
                    f"{name}: {type(network).__name__} cannot be called with calibration batch {number}: "
                    f"{first_line(error)}. Give examples of the shape that the network was built for"
                ) from error
            inputs = map_tensors(noting.seen, partial(_first_of, count=count - seen))
            came = _checked(inputs, number, name)
            shapes = shapes or came
            if came != shapes:
                raise ModelError(
                    f"{name}: calibration batch {number} has examples of shape {came}, and the first has "
                    f"{shapes}; give examples of one shape"
                )
            found.append(inputs)
            seen += _length(inputs)
    if not seen:
        raise ModelError(
            f"{name} looks at examples, and the calibration has none; give it batches of the training split"
        )
    return found


def _first_of(tensor: Tensor, count: int) -> Tensor:
    return tensor.detach().cpu()[:count]


class _Noting(nn.Module):
    """A network that notes what it is called with; its layers keep their paths."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.module = network
        self.seen: Any = None

    def forward(self, *inputs: Any, **named: Any) -> Any:
        self.seen = named or (inputs[0] if len(inputs) == 1 else inputs)
        return call(self.module, self.seen)


def _checked(inputs: Any, number: int, name: str) -> list[list[int]]:
    """The shapes of a batch's examples, once its numbers are finite."""
    shapes = []

    def look(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and not tensor.isfinite().all():
            bad = int((~tensor.isfinite()).flatten(1).any(1).sum()) if tensor.ndim > 1 else len(tensor)
            raise ModelError(
                f"{name}: {bad} examples of calibration batch {number} hold NaN or infinite numbers; fill "
                "the gaps, or leave these examples out"
            )
        shapes.append(list(tensor.shape[1:]))
        return tensor

    map_tensors(inputs, look)
    return shapes


def _length(inputs: Any) -> int:
    lengths: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        lengths.append(len(tensor))
        return tensor

    map_tensors(inputs, note)
    return lengths[0] if lengths else 0
