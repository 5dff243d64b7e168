"""Items that count, by the batch, the teacher and the gate."""

from __future__ import annotations

import pytest
import torch

from tutelage.match.masks import both, part_left
from tutelage.types import Batch


def batch(mask: torch.Tensor | None) -> Batch:
    return Batch(inputs=torch.zeros(2, 3), ids=torch.arange(2), mask=mask)


def test_an_item_counts_where_both_let_it():
    one, other = torch.tensor([True, True, False]), torch.tensor([True, False, True])
    assert both(one, other).tolist() == [True, False, False]
    assert both(None, other).tolist() == other.tolist()


def test_the_mask_with_fewer_axes_covers_the_others():
    rows = torch.tensor([True, False])
    tokens = torch.tensor([[True, False], [True, True]])
    for held in (both(rows, tokens), both(tokens, rows)):
        assert held.tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize(
    ("whole", "left", "part"),
    [
        (None, [True, False], 1 / 2),
        ([True, True], [True, False], 1 / 2),
        ([True, False], [[True, False], [False, False]], 1 / 2),  # rows of two tokens each
    ],
)
def test_the_part_that_is_left_is_of_the_batchs_own_items(whole, left, part):
    given = None if whole is None else torch.tensor(whole)
    assert float(part_left(torch.tensor(left), batch(given))) == part


def test_all_is_left_where_nothing_was_taken_out():
    mask = torch.tensor([True, False])
    assert part_left(None, batch(mask)) == 1.0
    assert part_left(mask, batch(mask)) == 1.0
