"""Any callable as a teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tutelage.capture import logits_of
from tutelage.data import reading
from tutelage.errors import ModelError
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Function"]


class Function(Teacher):
    """A teacher that is a function of a batch's inputs: a service, a rule, a compiled network.

    Args:
        answer: inputs -> logits, or whatever `tutelage.capture.logits_of` finds logits in; or with
            `takes="batch"` a batch -> `Outputs` or logits.
        takes: "inputs" or "batch".

    Shapes:
        batch: as the function takes it.
        returns: logits [N, …, classes], detached, on the batch's device.

    Raises:
        ModelError: it is not callable, or its answer holds no logits for each example.

    Source:
        none: a convenience.

    Example:
        >>> parity = Function(lambda inputs: torch.stack([inputs % 2, 1 - inputs % 2], -1).float())
        >>> parity(Batch(inputs=torch.tensor([2, 3]), ids=torch.arange(2))).logits.argmax(-1)
        tensor([1, 0])
    """

    def __init__(self, answer: Callable[[Any], Any], *, takes: str = "inputs") -> None:
        super().__init__()
        if not callable(answer):
            raise ModelError(f"a Function teacher was given {answer!r}; expected something to call")
        if takes not in ("inputs", "batch"):
            raise ModelError(f"takes came as {takes!r}; expected 'inputs' or 'batch'")
        self._answer, self.takes = (answer,), takes  # a tuple keeps a module that it may be out of this one

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        with torch.no_grad():
            came = self._answer[0](batch if self.takes == "batch" else reading(batch, self.reads).inputs)
        if isinstance(came, Outputs):
            return came
        logits = logits_of(came)
        if not isinstance(logits, Tensor) or logits.ndim < 2 or len(logits) != len(batch):
            shape = list(logits.shape) if isinstance(logits, Tensor) else None
            raise ModelError(
                f"a Function teacher gave logits of shape {shape} for {len(batch)} examples; expected "
                "[examples, …, classes]"
            )
        return Outputs(logits.detach().to(batch.ids.device))
