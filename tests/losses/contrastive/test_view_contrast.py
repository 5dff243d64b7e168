"""Views of one example among the rest of the batch: worked shares, ids, what is alone."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.contrastive import ViewContrast

VIEWS = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [-5.0, 0.0]], dtype=torch.float64)
"""Cosines: 0.6, 0 and −1 with the first; 0.8 and −0.6 with the second; 0 between the last two."""


def share(own: float, *rivals: float) -> float:
    """−log of the own share at temperature 1/2."""
    return -math.log(math.exp(2 * own) / sum(math.exp(2 * score) for score in (own, *rivals)))


def test_by_hand():
    ids = torch.tensor([7, 7, 3, 3])
    worked = share(0.6, 0, -1) + share(0.6, 0.8, -0.6) + share(0, 0, 0.8) + share(0, -1, -0.6)
    assert ViewContrast(temperature=0.5)(VIEWS, ids).item() == pytest.approx(worked / 4)


def test_an_example_that_came_once_is_a_view_of_itself():
    ids, mask = torch.tensor([7, 7, 3, 9]), torch.tensor([True, True, True, False])
    worked = share(0.6, 0) + share(0.6, 0.8) + share(1, 0, 0.8)
    assert ViewContrast(temperature=0.5)(VIEWS, ids, mask).item() == pytest.approx(worked / 3)


def test_learning_brings_views_together():
    torch.manual_seed(0)
    held, ids = torch.randn(8, 4, requires_grad=True), torch.arange(4).repeat(2)
    optimizer, loss = torch.optim.SGD([held], lr=1.0), ViewContrast(temperature=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        loss(held, ids).backward()
        optimizer.step()
    cosines = torch.nn.functional.cosine_similarity(held[:, None], held[None], dim=-1)
    cosines.fill_diagonal_(-1)
    assert torch.equal(ids[cosines.argmax(-1)], ids)
