"""Another source whose numbers have the type that a network reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from tutelage.data.over import Over
from tutelage.types import Batch, map_tensors

__all__ = ["Cast"]


class Cast(Over):
    """Another source whose inputs are float32, whatever numbers they came as; labels stay.

    Args:
        source: whose examples.

    Example:
        >>> from tutelage.data import Examples
        >>> import torch
        >>> Cast(Examples(torch.arange(4).view(2, 2), torch.tensor([0, 1]))).batch([1]).inputs
        tensor([[2., 3.]])
    """

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with inputs as float32."""
        batch = self.source.batch(numbers)
        return replace(batch, inputs=map_tensors(batch.inputs, Tensor.float))

    def fingerprint(self) -> str:
        """The source's hash, marked."""
        return hashlib.sha256(f"float32 {self.source.fingerprint()}".encode()).hexdigest()
