"""The same examples under other labels."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import Examples, Relabelled, Subset
from tutelage.errors import DataError

DIGITS = Subset(Examples(torch.arange(8.0).unsqueeze(1), torch.arange(8)), [6, 1, 4])


def test_inputs_and_ids_stay():
    held = Relabelled(DIGITS, DIGITS.labels % 2)
    batch = held.batch([2, 0])
    assert batch.inputs.flatten().tolist() == [4, 6]
    assert batch.ids.tolist() == [4, 6]
    assert batch.labels.tolist() == [0, 0]
    assert held.labels.tolist() == [0, 1, 0]
    assert torch.equal(held.examples_of(batch.ids), batch.ids)


def test_a_tree_of_labels():
    held = Relabelled(DIGITS, {"digit": DIGITS.labels, "odd": DIGITS.labels % 2})
    assert held.labels is None
    assert {name: each.tolist() for name, each in held.batch([1]).labels.items()} == {
        "digit": [1],
        "odd": [1],
    }


def test_other_labels_are_another_source():
    prints = {Relabelled(DIGITS, DIGITS.labels % by).fingerprint() for by in (2, 3)} | {DIGITS.fingerprint()}
    assert len(prints) == 3


def test_as_many_labels_as_examples():
    with pytest.raises(DataError, match=r"labels of lengths \[2\] came for 3 examples"):
        Relabelled(DIGITS, torch.zeros(2))
