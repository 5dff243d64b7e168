"""Which examples hold numbers that are none, told at once where inputs lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset, default_collate

from tutelage.data.batches import tensors_in
from tutelage.data.over import Over
from tutelage.data.sources import Examples, Items, Source, Subset

__all__ = ["gaps_of"]

_ROWS = 65_536  # looked at in one go


def gaps_of(source: Source) -> Tensor | None:
    """The numbers of the examples with an input that is NaN or infinite; None where each must be read first.

    Args:
        source: whose.

    Example:
        >>> rows = torch.tensor([[1.0], [torch.nan], [2.0]])
        >>> gaps_of(Subset(Examples(rows), [2, 1]))
        tensor([1])
    """
    if isinstance(source, Subset):
        within = gaps_of(source.source)
        return None if within is None else torch.isin(source.numbers, within).nonzero().flatten()
    if isinstance(source, Over):
        return gaps_of(source.source)
    held = _held(source)
    if held is None:
        return None
    broken = torch.zeros(len(source), dtype=torch.bool)
    for tensor in tensors_in(held):
        if tensor.is_floating_point():
            for start in range(0, len(tensor), _ROWS):
                part = tensor[start : start + _ROWS]
                broken[start : start + _ROWS] |= ~part.isfinite().reshape(len(part), -1).all(1).cpu()
    return broken.nonzero().flatten()


def _held(source: Source) -> Any:
    """The inputs, where they lie in memory as a batch holds them."""
    if isinstance(source, Examples) and source.as_they_are:
        return source.inputs
    if isinstance(source, Items) and source.collate is default_collate:
        tensors = source.dataset.tensors if type(source.dataset) is TensorDataset else ()
        return (tensors[:-1] or tensors) or None
    return None
