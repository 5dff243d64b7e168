"""Teachers of different classes: what they say together."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.teachers import Frozen, Function, Union
from tutelage.teachers.union import joined_scores, unified
from tutelage.types import Batch

CLASSES = [[0, 1, 2], [4, 2, 3], [1, 3]]
BATCH = Batch(inputs=torch.zeros(6, 2), ids=torch.arange(6))


def said(seed: int = 0, items: int = 6) -> list[Tensor]:
    own = torch.Generator().manual_seed(seed)
    return [torch.randn(items, len(held), generator=own, dtype=torch.float64) * 2 for held in CLASSES]


def criterion(scores: Tensor, logits: list[Tensor]) -> Tensor:
    """The sum of cross-entropies of the paper, of q = softmax(scores)."""
    return sum(
        -(one.softmax(-1) * scores[:, held].log_softmax(-1)).sum()
        for held, one in zip(CLASSES, logits, strict=True)
    )


def test_the_minimum_is_that_of_gradient_descent():
    logits = said()
    scores = torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-15)

    def step() -> Tensor:
        optimizer.zero_grad()
        value = criterion(scores, logits)
        value.backward()
        return value

    optimizer.step(step)
    found = unified(logits, CLASSES, rounds=2000)
    torch.testing.assert_close(found.exp(), scores.detach().softmax(-1), rtol=1e-5, atol=1e-6)


def test_a_round_never_makes_it_worse():
    logits = said(1)
    values = [float(criterion(unified(logits, CLASSES, rounds=count), logits)) for count in (1, 2, 4, 8, 64)]
    assert values == sorted(values, reverse=True)


def test_teachers_that_agree_with_one_distribution_give_it_back():
    truth = torch.tensor([[0.4, 0.1, 0.2, 0.05, 0.25]], dtype=torch.float64)
    logits = [truth[:, held].log() for held in CLASSES]
    torch.testing.assert_close(unified(logits, CLASSES, rounds=500).exp(), truth, rtol=1e-6, atol=1e-8)


def test_where_no_class_is_shared_the_scores_decide():
    logits = [torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 1.0]])]
    apart = [[0, 2], [1, 3]]
    expected = torch.tensor([[2.0, 1.0, 0.0, 1.0]]).softmax(-1)
    torch.testing.assert_close(unified(logits, apart).exp(), expected)
    assert joined_scores(logits, apart).tolist() == [[2.0, 1.0, 0.0, 1.0]]


def test_a_temperature_softens_what_is_joined_and_is_put_back():
    members = [Function(lambda _, one=one: one) for one in said()]
    teacher = Union(members, CLASSES, temperature=3.0)
    expected = unified([one / 3 for one in said()], CLASSES) * 3
    torch.testing.assert_close(teacher(BATCH).logits, expected)
    scores = Union(members, CLASSES, by="scores")(BATCH).logits
    torch.testing.assert_close(scores[:, 2], (said()[0][:, 2] + said()[1][:, 1]) / 2)


def test_sure_teachers_give_no_infinity():
    logits = [one * 1e4 for one in said()]
    assert unified([one.float() for one in logits], CLASSES).isfinite().all()


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        ([[0, 1], [1, 2]], {}, "3 teachers came with the classes"),
        ([[0, 1], [1, 1], [2]], {}, "different classes for each"),
        ([[0, 1], [1], [3]], {}, r"leave out or misname \[2\]"),
        ([[0, 1], [1], [-1]], {}, r"misname \[-1\]"),
        (CLASSES, {"temperature": 0.0}, "numbers above 0"),
        (CLASSES, {"rounds": 0}, "numbers above 0"),
    ],
)
def test_what_does_not_fit(classes, options, message):
    with pytest.raises(ValueError, match=message):
        Union([Frozen(nn.Linear(2, 3))] * 3, classes, **options)


def test_another_way_and_another_width():
    with pytest.raises(UnknownName, match="unknown way to join teachers 'score'"):
        Union([Frozen(nn.Linear(2, 1))], [[0]], by="score")
    with pytest.raises(ModelError, match=r"teacher 0 of a union gave 3 logits.*\[0, 1\]"):
        Union([Frozen(nn.Linear(2, 3))], [[0, 1]])(BATCH)
