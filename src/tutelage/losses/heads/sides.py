"""Answers of a student or a teacher, some rows at a time: of logits, or of what they are computed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.losses.reduction import widen
from tutelage.types import HeadLogits

__all__ = ["Logits", "Rows", "Side"]

Logits = Tensor | HeadLogits
Rows = slice | Tensor


@dataclass(frozen=True, slots=True)
class Side:
    """One side's answers, some rows at a time, without gradient."""

    rows: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    @classmethod
    def of(cls, logits: Logits) -> Side:
        """Of logits, or of what they are computed from, as autocast would have it."""
        if isinstance(logits, Tensor):
            return cls(logits.detach().flatten(0, -2))
        held = logits.detach()
        weight = _as_multiplied(held.weight)
        bias = None if held.bias is None else _as_multiplied(held.bias)
        return cls(held.hidden.flatten(0, -2), weight, bias, held.scale, held.cap)

    def hidden(self, some: Rows) -> Tensor:
        """What goes into the layer, as it is multiplied there."""
        assert self.weight is not None
        return self.rows[some].to(self.weight.dtype)

    def logits(self, some: Rows) -> tuple[Tensor, Tensor | None]:
        """Logits, and tanh of what was capped, if it was."""
        if self.weight is None:
            return widen(self.rows[some]), None
        logits = widen(F.linear(self.hidden(some), self.weight, self.bias))
        if self.scale != 1:
            logits.mul_(self.scale)
        tanh = None if self.cap is None else logits.div_(self.cap).tanh_()
        return (logits if tanh is None or self.cap is None else tanh * self.cap), tanh

    def softened(self, logits: Tensor, temperature: float, *, last: bool) -> Tensor:
        """Log-probabilities, in memory of their own; the last to read computed logits overwrites them."""
        if temperature != 1:
            logits = logits.div_(temperature) if last and self.weight is not None else logits / temperature
        return logits.log_softmax(-1)

    def log_probs(self, some: Rows, temperature: float) -> Tensor:
        """Log-probabilities of some rows."""
        return self.softened(self.logits(some)[0], temperature, last=True)


def _as_multiplied(tensor: Tensor) -> Tensor:
    """What autocast makes of a linear layer's weights."""
    device = tensor.device.type
    if not torch.is_autocast_enabled(device) or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))
