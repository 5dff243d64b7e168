"""Where a teacher is followed, and where not: selective distillation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.types import Batch, Outputs

__all__ = ["Confident", "Decided", "Gate", "Right"]


class Gate(ABC):
    """Says for each item whether a term counts there.

    An item that is gated out adds nothing and stays in the denominator, so that micro-batches of a batch
    still add up to it.
    """

    def __call__(self, teacher: Outputs, batch: Batch) -> Bool[Tensor, "*items"]:
        """True where the term counts.

        Raises:
            ModelError: the teacher has no logits to judge by.
        """
        if teacher.logits is None:
            raise ModelError(f"the gate {type(self).__name__} judges by logits, and the teacher gave none")
        return self.passes(teacher.logits.detach(), batch)

    @abstractmethod
    def passes(self, logits: Float[Tensor, "*items classes"], batch: Batch) -> Bool[Tensor, "*items"]:
        """True where the term counts."""


class Right(Gate):
    """Follow the teacher where its first choice is the label. Items without a label pass.

    Example:
        >>> import torch
        >>> batch = Batch(inputs=None, ids=torch.arange(2), labels=torch.tensor([0, 0]))
        >>> Right()(Outputs(torch.tensor([[2.0, 1.0], [1.0, 2.0]])), batch)
        tensor([ True, False])
    """

    def passes(self, logits: Float[Tensor, "*items classes"], batch: Batch) -> Bool[Tensor, "*items"]:
        """True where the first choice is the label."""
        if batch.labels is None:
            raise ModelError("the gate Right compares the teacher with labels, and the batch has none")
        labels: Tensor = batch.labels
        return (logits.argmax(-1) == labels) | (labels < 0)


class Confident(Gate):
    """Follow the teacher where the probability of its first choice is high enough.

    Args:
        least: the lowest probability that passes, from 0 to 1.

    Example:
        >>> import torch
        >>> batch = Batch(inputs=None, ids=torch.arange(2))
        >>> Confident(least=0.6)(Outputs(torch.tensor([[0.0, 1.0], [0.0, 0.0]])), batch)
        tensor([ True, False])
    """

    def __init__(self, *, least: float = 0.5) -> None:
        if not 0 <= least <= 1:
            raise ValueError(f"least came as {least}; a probability from 0 to 1 is expected")
        self.least = least

    def passes(self, logits: Float[Tensor, "*items classes"], batch: Batch) -> Bool[Tensor, "*items"]:  # noqa: ARG002
        """True where the first choice is probable enough."""
        return logits.softmax(-1).amax(-1) >= self.least


class Decided(Gate):
    """Follow the teacher where the entropy of its answer is low enough.

    Args:
        most: the highest entropy that passes, as a part of that of equal probabilities, from 0 to 1.

    Example:
        >>> import torch
        >>> batch = Batch(inputs=None, ids=torch.arange(2))
        >>> Decided(most=0.9)(Outputs(torch.tensor([[0.0, 2.0], [0.0, 0.0]])), batch)
        tensor([ True, False])
    """

    def __init__(self, *, most: float = 0.5) -> None:
        if not 0 <= most <= 1:
            raise ValueError(f"most came as {most}; a part from 0 to 1 is expected")
        self.most = most

    def passes(self, logits: Float[Tensor, "*items classes"], batch: Batch) -> Bool[Tensor, "*items"]:  # noqa: ARG002
        """True where the answer is decided enough."""
        log_probs = logits.float().log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs.clamp(min=-1e4)).sum(-1)
        return entropy <= self.most * math.log(logits.shape[-1])
