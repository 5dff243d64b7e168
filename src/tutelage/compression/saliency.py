"""Gradients of the loss on training examples, for scores that ask what a weight is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from tutelage.compression.changer import Calibration, shown
from tutelage.errors import ModelError
from tutelage.modes import evaluating, returned_as_it_was
from tutelage.types import Batch

__all__ = ["first_batch", "gradients"]


def gradients(
    network: nn.Module, parameters: Sequence[Tensor], calibration: Calibration | None, *, batches: int
) -> Iterator[list[Tensor]]:
    """The gradient of the loss with respect to some parameters, batch by batch; nothing is updated.

    The network runs in eval mode, and afterwards its modes and gradients are as they were. A parameter that
    the loss does not depend on has a gradient of 0.

    Args:
        network: whose loss.
        parameters: of the network.
        calibration: training examples with labels.
        batches: how many, at most.

    Raises:
        ModelError: no examples, no labels, or a loss or gradient that is not finite.
    """
    examples = shown(calibration, name="prune with `by: taylor`")
    if examples.loss is None:
        raise ModelError(
            "prune with `by: taylor` needs a loss, and these examples have no labels; choose `by: magnitude`"
        )
    seen = 0
    with evaluating(network), returned_as_it_was(network), torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(True)
        for batch in islice(examples.batches(), batches):
            loss = examples.loss(network, batch)
            found = torch.autograd.grad(loss, list(parameters), allow_unused=True, materialize_grads=True)
            if not all(bool(each.isfinite().all()) for each in (loss, *found)):
                raise ModelError(
                    f"the loss of calibration batch {seen} is {loss.item():g}, or its gradients are not "
                    "finite; look for NaN in the inputs and the weights"
                )
            seen += 1
            yield [each.detach() for each in found]
    if not seen:
        raise ModelError("prune was given no calibration examples; at least one batch is expected")


def first_batch(calibration: Calibration | None, *, name: str) -> Batch:
    """The first of the training examples.

    Raises:
        ModelError: there is none.
    """
    found = next(iter(shown(calibration, name=name).batches()), None)
    if found is None or len(found) == 0:
        raise ModelError(f"{name} was given no calibration examples; at least one batch is expected")
    return found
