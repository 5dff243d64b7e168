"""Another source whose examples are drawn more or less often: weights of examples and of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.data.over import Over
from tutelage.data.sources import Source
from tutelage.errors import DataError
from tutelage.types import UNLABELLED, Batch

__all__ = ["Drawn", "read_weights", "weights_by_class"]


class Drawn(Over):
    """Another source, of which an epoch draws as many examples as there are, in proportion to weights.

    The mean of a term over an epoch is then the weighted mean over the data, on average, for every loss and
    scheme, those that compare examples among them. An example of weight 0 is never drawn.

    Args:
        source: whose examples.
        weights: how often each is drawn, in proportion, shape [N]; at least 0.
    """

    def __init__(self, source: Source, weights: Tensor) -> None:
        super().__init__(source)
        self._weights = weights

    @property
    def weights(self) -> Tensor:
        """How often each example is drawn, in proportion."""
        return self._weights

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Those of the source."""
        return self.source.batch(numbers)

    def fingerprint(self) -> str:
        """The source's hash, together with the weights."""
        held = self._weights.double().numpy().tobytes()
        return hashlib.sha256(self.source.fingerprint().encode() + held).hexdigest()


def read_weights(came: Any, count: int, *, name: str) -> Tensor:
    """Weights as a user gives them.

    Args:
        came: numbers.
        count: how many there must be.
        name: of the argument, for messages.

    Raises:
        DataError: another number of them, a negative or infinite one, or nothing but zeros.
    """
    weights = torch.as_tensor(came, dtype=torch.float64).reshape(-1)
    if len(weights) != count:
        raise DataError(f"{name} came with {len(weights)} numbers; expected {count}, one for each")
    if not bool(weights.isfinite().all()) or bool((weights < 0).any()) or not bool(weights.any()):
        raise DataError(
            f"{name} came with numbers from {weights.min():g} to {weights.max():g}; expected at least 0"
        )
    return weights


def weights_by_class(source: Source, came: Any, num_classes: int) -> Tensor:
    """The weight of each example by its class; of one without a label, the mean.

    Args:
        source: the examples; their labels are read once where they are not known.
        came: a weight for each class, or "balanced": as if all classes had as many examples.
        num_classes: how many there are.

    Raises:
        DataError: weights that do not fit, or another word.
    """
    labels = source.labels
    if labels is None:
        read = [
            source.batch(range(at, min(at + 500, len(source)))).labels for at in range(0, len(source), 500)
        ]
        labels = torch.cat([torch.as_tensor(each) for each in read])
    known = labels != UNLABELLED
    counts = torch.bincount(labels[known], minlength=num_classes).double()
    if isinstance(came, str):
        if came != "balanced":
            raise DataError(
                f'class_weights came as {came!r}; expected "balanced", or a number for each class'
            )
        each = torch.where(counts > 0, counts.sum() / counts.clamp(min=1), 0.0)
    else:
        each = read_weights(came, num_classes, name="class_weights")
    mean = (each * counts).sum() / counts.sum().clamp(min=1)
    return torch.where(known, each[labels.clamp(min=0)], mean)
