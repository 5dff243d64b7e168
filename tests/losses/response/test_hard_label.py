"""Hard labels: the cross-entropy, its smoothing and its denominator."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tutelage.losses.response import HardLabel
from tutelage.types import UNLABELLED


def test_by_hand():
    z = (1.0, -2.0, 0.5)
    total = sum(math.exp(score) for score in z)
    loss = HardLabel()(torch.tensor([z]), torch.tensor([2]))
    assert loss.item() == pytest.approx(-math.log(math.exp(0.5) / total))


def test_smoothing_by_hand():
    z, smoothing = (1.0, -2.0, 0.5), 0.3
    total = sum(math.exp(score) for score in z)
    target = (0.1, 0.1, 0.8)  # 0.7 on the label and 0.3 / 3 on each class
    expected = -sum(t * math.log(math.exp(score) / total) for t, score in zip(target, z, strict=True))
    loss = HardLabel(smoothing=smoothing)(torch.tensor([z]), torch.tensor([2]))
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_unlabelled_items_add_nothing_and_stay_in_the_denominator(smoothing):
    student = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([1, UNLABELLED, 3, UNLABELLED])
    loss = HardLabel(smoothing=smoothing)(student, labels)
    theirs = F.cross_entropy(student, labels, ignore_index=UNLABELLED, label_smoothing=smoothing)
    torch.testing.assert_close(loss, theirs / 2)
    assert (torch.autograd.grad(loss, student)[0][[1, 3]] == 0).all()


def test_micro_batches_with_unequal_numbers_of_labels_add_up():
    student = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, UNLABELLED, 3, 2])
    halves = [HardLabel()(student[part], labels[part]) / 2 for part in (slice(0, 2), slice(2, 4))]
    torch.testing.assert_close(sum(halves), HardLabel()(student, labels))


def test_no_label_at_all_is_zero():
    student = torch.full((2, 3), math.nan, requires_grad=True)
    loss = HardLabel()(student, torch.tensor([UNLABELLED, UNLABELLED]))
    assert loss == 0
    assert (torch.autograd.grad(loss, student)[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integers_are_labels(dtype):
    student = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2])
    torch.testing.assert_close(HardLabel()(student, labels.to(dtype)), HardLabel()(student, labels))


def test_labels_of_another_kind_are_refused():
    with pytest.raises(ValueError, match="labels came with shape"):
        HardLabel()(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"labels\.long\(\)"):
        HardLabel()(torch.ones(2, 3), torch.zeros(2))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing came as"):
        HardLabel(smoothing=smoothing)
