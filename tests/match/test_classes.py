"""A term that is about some classes alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.losses import feature, response
from tutelage.match import Match
from tutelage.schemes.declared import terms_of
from tutelage.types import Batch, HeadLogits, Outputs, SparseLogits

LOGITS = torch.tensor([[0.0, 9.0, math.log(3), 0.0], [5.0, 0.0, 0.0, -2.0]])
BATCH = Batch(inputs=torch.zeros(2, 1), ids=torch.arange(2), labels=torch.tensor([2, 1]))


def test_labels_count_within_the_classes_by_hand():
    """The first: −log(3 / (1 + 3)) among classes 0 and 2. The second is of class 1: nothing, of two items."""
    match = Match(response.HardLabel(), classes=[0, 2])
    assert match(Outputs(LOGITS), None, BATCH).item() == pytest.approx(math.log(4 / 3) / 2)


def test_soft_targets_are_those_of_a_head_of_these_classes():
    theirs = torch.tensor([[1.0, -4.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]])
    match = Match(response.SoftTarget(temperature=2.0), classes=[3, 1])
    alone = response.SoftTarget(temperature=2.0)(LOGITS[:, [3, 1]], theirs[:, [3, 1]])
    assert match(Outputs(LOGITS), Outputs(theirs), BATCH).item() == pytest.approx(alone.item())


def test_other_classes_get_no_gradient():
    logits = LOGITS.clone().requires_grad_()
    Match(response.HardLabel(), classes=[0, 2])(Outputs(logits), None, BATCH).backward()
    assert logits.grad is not None
    assert logits.grad[:, [1, 3]].abs().max() == 0
    assert logits.grad[0, [0, 2]].abs().min() > 0


def test_terms_of_every_part_are_one_term_of_each_items_own():
    """Items of several lessons in one batch: the sum over heads is the mean over items, each in its own."""
    heads = [Match(response.HardLabel(), classes=held) for held in ([0, 1], [2, 3])]
    total = sum(match(Outputs(LOGITS), None, BATCH) for match in heads)
    own = [-LOGITS[0, 2:].log_softmax(-1)[0], -LOGITS[1, :2].log_softmax(-1)[1]]
    assert total.item() == pytest.approx(sum(own).item() / 2)


def test_a_head_that_is_not_computed_yet_keeps_these_rows():
    hidden, weight, bias = torch.randn(2, 5), torch.randn(4, 5), torch.randn(4)
    head = HeadLogits(hidden, weight, bias)
    theirs = Outputs(torch.randn(2, 4))
    match = Match(response.SoftTarget(temperature=2.0), classes=[1, 3])
    whole = match(Outputs(head.whole()), theirs, BATCH)
    assert match(Outputs(head=head), theirs, BATCH).item() == pytest.approx(whole.item(), rel=1e-5)


def test_the_classes_are_said():
    (term,) = terms_of([Match(response.HardLabel(), classes=[0, 2])])
    assert term.text == "HardLabel(smoothing=0.0) of classes 0, 2"


@pytest.mark.parametrize("classes", [[1], [1, 1], [-1, 0], []])
def test_classes_are_at_least_two(classes):
    with pytest.raises(ModelError, match="at least two different ones"):
        Match(response.HardLabel(), classes=classes)


@pytest.mark.parametrize("place", [{"guided": "0"}, {"stages": "last"}])
def test_classes_are_those_of_logits(place: dict[str, Any]):
    with pytest.raises(ModelError, match="Hint looks at layers, and classes are those of logits"):
        Match(feature.Hint(), projector=nn.Identity(), classes=[0, 1], **place)


def test_what_the_teacher_does_not_have():
    match = Match(response.SoftTarget(), classes=[0, 7])
    with pytest.raises(ModelError, match=r"about the classes \[0, 7\], and there are 4"):
        match(Outputs(LOGITS), Outputs(LOGITS), BATCH)
    few = SparseLogits(torch.tensor([[0], [1]]), torch.zeros(2, 1), 4, {4.0: torch.zeros(2)})
    match = Match(response.SoftTarget(), classes=[0, 1])
    assert match.needs_all_classes
    with pytest.raises(ModelError, match="few of the teacher's logits are known"):
        match(Outputs(LOGITS), Outputs(sparse=few), BATCH)
