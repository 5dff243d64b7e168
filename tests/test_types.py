"""The small records."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tutelage.types import Batch, map_tensors


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(2),
        (torch.ones(2), 3),
        [torch.ones(2)],
        {"x": torch.ones(2), "name": "x"},
        Pair(torch.ones(2), torch.ones(2)),
    ],
    ids=["tensor", "tuple", "list", "mapping", "namedtuple"],
)
def test_map_tensors_keeps_the_kind_and_changes_each_tensor(value: object) -> None:
    seen = []
    changed = map_tensors(value, lambda tensor: seen.append(tensor) or tensor * 2)
    assert type(changed) is type(value)
    assert seen
    assert all(torch.equal(tensor, torch.ones(2)) for tensor in seen)
    assert not torch.equal(_first(changed), _first(value))


def _first(value: object) -> Tensor:
    found: list[Tensor] = []
    map_tensors(value, lambda tensor: found.append(tensor) or tensor)
    return found[0]


def test_a_batch_counts_its_unmasked_items() -> None:
    batch = Batch(inputs=torch.zeros(3, 2), ids=torch.arange(3))
    assert batch.count == len(batch) == 3
    masked = Batch(
        inputs=torch.zeros(2, 4), ids=torch.arange(2), mask=torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    )
    assert masked.count == 3
