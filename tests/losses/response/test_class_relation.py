"""Inter- and intra-class relations: DIST's correlations."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import ClassRelation


def test_by_hand():
    q = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3]])
    # by item: (1/6, -1/30, -4/30)·(8/30, -1/30, -7/30) and (-2, -2, 4)/15·(-7, 8, -1)/30, over the lengths
    first = (5 * 8 + 1 * 1 + 4 * 7) / ((25 + 1 + 16) * (64 + 1 + 49)) ** 0.5
    second = (2 * 7 - 2 * 8 - 4 * 1) / ((4 + 4 + 16) * (49 + 64 + 1)) ** 0.5
    inter = 1 - (first + second) / 2
    # by class, of two items each: both fall, the student falls and the teacher rises, both rise
    intra = 1 - (1 - 1 + 1) / 3
    found = ClassRelation(inter_weight=2.0, intra_weight=3.0)(q.log(), p.log())
    assert found.item() == pytest.approx(2 * inter + 3 * intra, rel=1e-5)


def test_a_linear_change_of_the_probabilities_costs_nothing():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
    q = 0.4 * p + 0.2
    assert ClassRelation(temperature=1.0)(q.log(), p.log()).item() == pytest.approx(0, abs=1e-5)


def test_what_does_not_vary_costs_nothing_and_has_a_gradient():
    student = torch.zeros(3, 4, requires_grad=True)
    loss = ClassRelation()(student, torch.randn(3, 4))
    loss.backward()
    assert loss == 0
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(("items", "classes"), [(24, 10), (32, 3), (48, 100), (32, 1000)])
def test_rounding_is_no_correlation(items, classes):
    teacher = 3 * torch.randn(items, classes, generator=torch.Generator().manual_seed(0))
    one = torch.randn(1, classes, generator=torch.Generator().manual_seed(1))
    cases = [  # equal logits, in rows and columns; one answer for all items, in columns
        (ClassRelation(), torch.full((items, classes), 0.1)),
        (ClassRelation(), torch.zeros(items, classes)),
        (ClassRelation(inter_weight=0.0), one.repeat(items, 1)),
    ]
    for loss, student in cases:
        student.requires_grad_()
        value = loss(student, teacher)
        assert value.item() == 0
        assert (torch.autograd.grad(value, student)[0] == 0).all()


def test_rare_classes_vary_too():
    teacher = torch.tensor([[0.0, -30.0], [0.0, -31.0], [0.0, -33.0]])  # e⁻³⁰ squared twice is 0 in float32
    loss = ClassRelation(inter_weight=0.0, intra_weight=1.0)
    found = loss(teacher.flip(0), teacher)
    by_class = torch.corrcoef(torch.stack([teacher[:, 1].exp(), teacher.flip(0)[:, 1].exp()]).double())
    assert found.item() == pytest.approx((1 - by_class[0, 1].item()) / 2, rel=1e-4)  # the other class is flat
