"""What users' loaders give, read as batches."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import as_batch, check_labels
from tutelage.errors import DataError
from tutelage.types import Batch

IDS = torch.tensor([7, 8])
X, Y = torch.ones(2, 3), torch.tensor([0, 1])


def test_a_tensor_is_inputs():
    batch = as_batch(X, IDS)
    assert batch.inputs is X
    assert batch.labels is None
    assert torch.equal(batch.ids, IDS)


@pytest.mark.parametrize("kind", [tuple, list])
def test_the_last_of_a_tuple_is_the_labels(kind):
    batch = as_batch(kind([X, Y]), IDS)
    assert batch.inputs is X
    assert batch.labels is Y
    several = as_batch(kind([X, X, Y]), IDS)
    assert isinstance(several.inputs, tuple)
    assert len(several.inputs) == 2
    assert as_batch(kind([X]), IDS).labels is None
    assert as_batch(kind([X, [0, 1]]), IDS).labels.tolist() == [0, 1]
    assert as_batch(kind([X, None]), IDS).labels is None


@pytest.mark.parametrize("name", ["labels", "label", "targets", "target", "y"])
def test_labels_of_a_mapping(name):
    one = as_batch({"image": X, name: Y}, IDS)
    assert one.inputs is X
    assert one.labels is Y
    two = as_batch({"a": X, "b": X, name: Y}, IDS)
    assert set(two.inputs) == {"a", "b"}


def test_ids_and_mask_of_a_mapping():
    mask = torch.tensor([True, False])
    batch = as_batch({"x": X, "ids": torch.tensor([1, 2]), "mask": mask}, IDS)
    assert batch.ids.tolist() == [1, 2]
    assert batch.mask is mask
    assert batch.inputs is X
    assert as_batch({"x": X, "ids": [1, 2]}, IDS).ids.tolist() == [1, 2]


def test_what_came_is_not_changed():
    raw = {"x": X, "y": Y}
    as_batch(raw, IDS)
    assert set(raw) == {"x", "y"}


def test_a_batch_encoding():
    transformers = pytest.importorskip("transformers")
    tokens = {"input_ids": torch.ones(2, 4, dtype=torch.int64), "attention_mask": torch.ones(2, 4)}
    batch = as_batch(transformers.BatchEncoding(tokens | {"labels": Y}), IDS)
    assert type(batch.inputs) is dict
    assert set(batch.inputs) == {"input_ids", "attention_mask"}
    assert batch.labels is Y


def test_a_batch_is_taken_as_it_is():
    batch = Batch(X, IDS)
    assert as_batch(batch, torch.tensor([0, 1])) is batch


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("text", "came as str"),
        (3, "came as int"),
        ((), "came as tuple"),
        (None, "came as NoneType"),
        ({"labels": Y}, "without inputs"),
        ({}, "without inputs"),
        ((X, torch.ones(3)), r"2 examples came with tensors of lengths \[2, 3\]"),
        (torch.ones(5, 2), "lengths"),
        ({"x": torch.tensor(1.0), "y": Y}, "lengths"),
        ((X, ["cat", "dog"]), r"labels came as words, such as .cat."),
        ({"x": X, "ids": ["a", "b"]}, "ids came as list"),
        (Batch(X, torch.tensor([1, 2, 3])), "3 examples came"),
        ({"x": ["a", "b"]}, "tensors of lengths"),
    ],
)
def test_wrong_kinds(raw, message):
    with pytest.raises(DataError, match=message):
        as_batch(raw, IDS)


@pytest.mark.parametrize("raw", [torch.ones(0, 3), Batch(torch.ones(0, 3), torch.ones(0))])
def test_empty_batches(raw):
    with pytest.raises(DataError, match="empty"):
        as_batch(raw, torch.ones(0))


def test_labels_out_of_range():
    check_labels(torch.tensor([0, 2, -100]), 3, where="train")
    check_labels(None, 3, where="train")
    check_labels(torch.tensor([0.5]), 3, where="train")
    with pytest.raises(DataError, match=r"train has the label 3 \(2 out of range\).*0 to 2"):
        check_labels(torch.tensor([0, 3, -1]), 3, where="train")
