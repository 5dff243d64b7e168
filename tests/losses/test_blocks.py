"""Sums by blocks of rows: the value and the gradient of the whole, whatever the size of a block."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses import blocks, relation
from tutelage.losses.pairs import distances

PAIRWISE = ["RelationalDistance", "SimilarityPreserving", "CorrelationCongruence", "ProbabilisticTransfer",
            "LocalStructure", "InstanceGraph"]  # fmt: skip


def value_and_gradient(loss, student, teacher, mask):
    student = student.clone().requires_grad_()
    ours, theirs = ((student, student), (teacher, teacher)) if loss.joins_layers else (student, teacher)
    value = loss(ours, theirs, mask)
    return value.detach(), torch.autograd.grad(3 * value, student)[0]


@pytest.mark.parametrize("name", PAIRWISE)
@pytest.mark.parametrize("rows", [1, 4, 11, 100])
def test_blocks_give_what_the_whole_gives(name, rows, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(11, 5, generator=generator, dtype=torch.float64) for _ in "st")
    mask = torch.rand(11, generator=generator) < 0.7
    loss = getattr(relation, name)()
    expected = value_and_gradient(loss, student, teacher, mask)
    monkeypatch.setattr(blocks, "WHOLE", 2)
    monkeypatch.setattr(blocks, "ROWS", rows)
    torch.testing.assert_close(value_and_gradient(loss, student, teacher, mask), expected)
    with torch.no_grad():
        ours, theirs = ((student,) * 2, (teacher,) * 2) if loss.joins_layers else (student, teacher)
        torch.testing.assert_close(loss(ours, theirs, mask), expected[0])


def test_what_needs_no_gradient_gets_none(monkeypatch):
    monkeypatch.setattr(blocks, "WHOLE", 1)
    monkeypatch.setattr(blocks, "ROWS", 2)
    rows, factor = torch.randn(5, 3), torch.tensor(2.0, requires_grad=True)
    total = blocks.sum_by_blocks(lambda block, x, f: f * x[block].sum(), rows, factor, items=5)
    assert torch.autograd.grad(total, factor)[0].item() == pytest.approx(rows.sum().item(), rel=1e-5)


@pytest.mark.parametrize("squared", [False, True])
def test_distances_of_a_block(squared):
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 7, dtype=torch.float64)
    whole, some = distances(x, squared=squared)[2:5], distances(x, slice(2, 5), squared=squared)
    torch.testing.assert_close(some, whole)
    ours, theirs = (torch.autograd.grad((held * weights).sum(), x)[0] for held in (some, whole))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", PAIRWISE)
def test_blocks_have_no_second_derivative_and_the_whole_has(name, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 3, generator=generator, dtype=torch.float64) for _ in "st")
    loss = getattr(relation, name)()

    def value(rows):
        ours, theirs = ((rows, rows**2), (teacher,) * 2) if loss.joins_layers else (rows, teacher)
        return loss(ours, theirs) + 1e-3 * rows.square().mean()  # beside another term, as in training

    assert torch.autograd.gradgradcheck(value, student.requires_grad_(), fast_mode=True)
    monkeypatch.setattr(blocks, "WHOLE", 2)
    monkeypatch.setattr(blocks, "ROWS", 2)
    (slope,) = torch.autograd.grad(value(student), student, create_graph=True)
    with pytest.raises(NotImplementedError, match="Ask for it on fewer items"):
        slope.sum().backward()
