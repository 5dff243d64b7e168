"""What labels are, told from them and the width of the answers."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import Examples
from tutelage.errors import DataError
from tutelage.tasks.targets import read_targets
from tutelage.types import UNLABELLED

NAN = torch.nan
CASES = {
    "classes": (torch.tensor([0, 2, 1]), 3, "classes"),
    "classes in a column": (torch.tensor([[0], [2], [1]]), 3, "classes"),
    "classes as floats": (torch.tensor([0.0, 2.0, NAN]), 3, "classes"),
    "shares": (torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.1, 0.9]]), 3, "shares"),
    "shares that do not add up": (torch.tensor([[0.5, 0.6], [0.0, 0.1]]), 2, "several"),
    "several": (torch.tensor([[1, 1, 0], [0, 0, 0]]), 3, "several"),
    "several, some unknown": (torch.tensor([[1, UNLABELLED], [0, 0]]), 2, "several"),
    "yes or no": (torch.tensor([True, False]), 1, "several"),
    "one number": (torch.tensor([0.0, 2.5]), 1, "values"),
    "several numbers": (torch.tensor([[0.0, -2.5]]), 2, "values"),
    "none": (None, 3, "none"),
}


@pytest.mark.parametrize("name", CASES)
def test_kinds(name):
    labels, width, kind = CASES[name]
    count = 3 if labels is None else len(labels)
    assert read_targets({"train": Examples(torch.zeros(count, 1), labels)}, width).kind == kind


def test_labels_are_read_in_the_form_that_losses_take():
    def read(labels, width):
        source = Examples(torch.zeros(len(labels), 1), labels)
        return read_targets({"train": source}, width).reading(source).batch(range(len(labels))).labels

    assert read(torch.tensor([[0], [2]]), 3).tolist() == [0, 2]
    assert read(torch.tensor([1.0, NAN]), 3).tolist() == [1, UNLABELLED]
    several = read(torch.tensor([[1, UNLABELLED], [0, 1]]), 2)
    assert several[0].isnan().tolist() == [False, True]
    assert several[1].tolist() == [0.0, 1.0]
    assert read(torch.tensor([1.5, 2.0]), 1).tolist() == [[1.5], [2.0]]


def test_shares_in_training_and_classes_afterwards():
    shares = Examples(torch.zeros(1, 1), torch.tensor([[0.3, 0.7]]))
    classes = Examples(torch.zeros(1, 1), torch.tensor([1]))
    assert read_targets({"train": shares, "validation": classes}, 2).kind == "shares"


@pytest.mark.parametrize(
    ("labels", "said"),
    [(torch.zeros(2, 4) - 3.0, "answers with 3 numbers"), (torch.tensor([0.5, 1.0]), "such as 0.5")],
)
def test_labels_that_fit_no_answer(labels, said):
    with pytest.raises(DataError, match=said):
        read_targets({"train": Examples(torch.zeros(2, 1), labels)}, 3)
