"""What an example's answer is found by: a hash of what the teacher was shown.

A position says nothing once the data are shuffled, and a number says nothing once a view is drawn at random.
The content does: the same inputs have the same answer, in any order, on any process, under any augmentation
whose views come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xxhash
from jaxtyping import Int
from torch import Tensor

from tutelage.types import Batch

__all__ = ["keys_of"]


def keys_of(batch: Batch) -> Int[Tensor, "n 2"]:
    """A key of 128 bits for each example: the hash (XXH3) of its inputs, their dtypes and their shapes.

    It is that of what a teacher is shown, where that is something else. Keys that the batch brings along are
    taken as they are.

    Args:
        batch: on any device; its inputs are copied to the CPU to be hashed.

    Shapes: int64 [N, 2], on the CPU.

    Example:
        >>> inputs, ids = torch.tensor([[1.0], [2.0], [1.0]]), torch.arange(3)
        >>> one, two, again = keys_of(Batch(inputs=inputs, ids=ids)).tolist()
        >>> one == again, one == two
        (True, False)
    """
    if batch.keys is not None:
        return batch.keys
    named = _named(batch.inputs if batch.shown is None else batch.shown)
    kind = xxhash.xxh3_64_intdigest(b"".join(name for name, _ in named))
    columns = [_bytes(tensor) for _, tensor in named]
    keys = np.empty((len(batch), 2), dtype="<i8")
    for number in range(len(batch)):
        content = columns[0][number] if len(columns) == 1 else b"".join(held[number] for held in columns)
        keys[number] = np.frombuffer(xxhash.xxh3_128_digest(content, seed=kind), dtype="<i8")
    return torch.from_numpy(keys)


def _named(value: Any, path: str = "") -> list[tuple[bytes, Tensor]]:
    """The tensors of a batch's inputs, each with its path, dtype and shape of an example as bytes."""
    if isinstance(value, Tensor):
        return [(f"{path}:{value.dtype}{list(value.shape[1:])}".encode(), value)]
    if isinstance(value, Mapping):
        return [found for key in sorted(value) for found in _named(value[key], f"{path}/{key}")]
    if isinstance(value, tuple | list):
        return [found for number, item in enumerate(value) for found in _named(item, f"{path}/{number}")]
    return []


def _bytes(tensor: Tensor) -> np.ndarray[Any, Any]:
    """An example's bytes in each row."""
    rows = tensor.detach().cpu().contiguous().reshape(len(tensor), -1)
    return np.ascontiguousarray(rows.view(torch.uint8).numpy())
