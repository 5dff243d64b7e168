"""All logits of an answer."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.answers.forms.form import Columns, Form
from tutelage.errors import UnknownName

__all__ = ["Dense"]

DenseType = Literal["float32", "float16", "bfloat16", "int8"]
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


class Dense(Form):
    """All logits: exact in float32, rounded in the others; int8 has a scale and a lowest value for each row.

    Example:
        >>> form = Dense("float16")
        >>> form.decode(form.encode(torch.tensor([[1.0, 2.5]]), torch.tensor([0])), 2)
        tensor([[1.0000, 2.5000]])
        >>> form.bytes_of_row(1000)
        2000
    """

    def __init__(self, dtype: DenseType = "float32") -> None:
        if dtype not in _BYTES:
            raise UnknownName("number format", str(dtype), get_args(DenseType))
        self.dtype = dtype

    def encode(self, logits: Float[Tensor, "rows classes"], names: Int[Tensor, " rows"]) -> dict[str, Tensor]:  # noqa: ARG002
        """Round."""
        if self.dtype != "int8":
            return {"logits": logits.to(getattr(torch, self.dtype))}
        least = logits.masked_fill(logits.isneginf(), torch.inf).amin(-1, keepdim=True)
        logits = torch.maximum(logits, least)  # what cannot be is as good as the least that can
        low, high = least, logits.amax(-1, keepdim=True)
        step = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
        levels = ((logits - low) / step).round().to(torch.uint8)
        return {"logits": levels, "low": low.float().squeeze(-1), "step": step.float().squeeze(-1)}

    def decode(self, columns: Columns, num_classes: int) -> Tensor:  # noqa: ARG002
        """Give all logits in float32."""
        logits = columns["logits"].float()
        if self.dtype == "int8":
            logits = logits * columns["step"].unsqueeze(-1) + columns["low"].unsqueeze(-1)
        return logits

    def bytes_of_row(self, num_classes: int) -> float:
        """As many numbers as classes."""
        return _BYTES[self.dtype] * num_classes + (8 if self.dtype == "int8" else 0)

    def serves(self, temperature: float) -> bool:  # noqa: ARG002
        """Any temperature."""
        return True

    @property
    def text(self) -> str:
        """`dense:float16`."""
        return f"dense:{self.dtype}"
