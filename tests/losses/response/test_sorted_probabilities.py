"""Probabilities of two vocabularies by rank."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses.response import SortedProbabilities


def test_by_hand_with_vocabularies_of_two_sizes():
    student = torch.tensor([[0.1, 0.9]]).log()
    teacher = torch.tensor([[0.2, 0.5, 0.3]]).log()
    found = SortedProbabilities()(student, teacher)  # .9 .1 0 and .5 .3 .2
    torch.testing.assert_close(found, torch.tensor(0.4 + 0.2 + 0.2))


def test_names_do_not_matter():
    logits = torch.tensor([[3.0, 1.0, -1.0]])
    torch.testing.assert_close(SortedProbabilities()(logits, logits.flip(-1)), torch.tensor(0.0))


def test_an_item_without_an_answer_adds_nothing():
    student, teacher = torch.zeros(2, 2), torch.tensor([[0.0, 0.0, 0.0], [-torch.inf] * 3])
    found = SortedProbabilities()(student, teacher)
    torch.testing.assert_close(found, torch.tensor((1 / 6 + 1 / 6 + 1 / 3) / 2))


def test_other_items_are_refused():
    with pytest.raises(ValueError, match="equal ones are expected"):
        SortedProbabilities()(torch.zeros(2, 3), torch.zeros(1, 4))
