"""The part of some data that a stage learns, with a memory of what came before."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import Examples, Subset, Unlabelled, of_classes
from tutelage.errors import DataError

LABELS = torch.arange(60) % 4
DATA = Examples(torch.arange(60.0).unsqueeze(1), LABELS)


def ids(part) -> set[int]:
    return set(part.batch(range(len(part))).ids.tolist())


def test_all_of_its_classes_and_a_few_of_the_remembered():
    part = of_classes(DATA, [2], memory=[0, 1], per_class=3)
    assert torch.bincount(part.labels).tolist() == [3, 3, 15]
    assert ids(of_classes(DATA, [2])) < ids(part)


def test_what_is_remembered_depends_on_ids_and_the_seed_alone():
    few, more = (of_classes(DATA, [3], memory=[0], per_class=count) for count in (3, 5))
    assert ids(few) < ids(more)
    shuffled = Subset(DATA, torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist())
    assert ids(of_classes(shuffled, [3], memory=[0], per_class=3)) == ids(few)
    assert ids(of_classes(DATA, [3], memory=[0], per_class=3, seed=1)) != ids(few)


def test_a_class_with_fewer_is_remembered_whole():
    assert torch.bincount(of_classes(DATA, [1], memory=[0], per_class=99).labels).tolist() == [15, 15]


def test_hidden_labels_are_of_no_class():
    part = of_classes(Unlabelled(DATA, range(20)), [1])
    assert len(part) == 5
    assert set(part.labels.tolist()) == {1}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"classes": [7]}, r"no training example has the class 7; there are \[0, 1, 2, 3\]"),
        ({"classes": [1], "memory": [1]}, r"the classes \[1\] are a stage's own and in its memory"),
    ],
)
def test_what_is_not_there(settings, said):
    with pytest.raises(DataError, match=said):
        of_classes(DATA, **settings)


def test_labels_must_be_classes():
    with pytest.raises(DataError, match="labels are known and are classes"):
        of_classes(Examples(torch.zeros(3, 1)), [0])
