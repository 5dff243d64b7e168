"""Sources: batches by example number."""

from __future__ import annotations

import datasets
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset, WeightedRandomSampler

from tutelage.data import Examples, Items, Subset, Unlabelled, source_of
from tutelage.errors import DataError, TutelageWarning
from tutelage.types import UNLABELLED, Batch

X, Y = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])


def test_examples_by_number():
    source = Examples(X, Y)
    batch = source.batch([4, 0])
    assert torch.equal(batch.inputs, X[[4, 0]])
    assert batch.labels.tolist() == [1, 0]
    assert batch.ids.tolist() == [4, 0]
    assert len(source) == 6
    assert Examples(X).batch([1]).labels is None


def test_examples_of_several_inputs_and_a_change():
    source = Examples({"a": X, "b": X}, Y, prepare=lambda i: {k: v * 2 for k, v in i.items()})
    assert torch.equal(source.batch([1]).inputs["b"], X[[1]] * 2)
    assert len(Examples((X, X), Y).batch([1, 2]).inputs) == 2


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (X, Y[:3], r"lengths \[3, 6\]"),
        ({"a": X, "b": X[:2]}, None, r"lengths \[2, 6\]"),
        (X[:0], Y[:0], "is empty"),
        (X, Y + 1, "the label 3"),
    ],
)
def test_examples_that_cannot_be(inputs, labels, message):
    with pytest.raises(DataError, match=message):
        Examples(inputs, labels, num_classes=3)


def test_items_are_collated():
    source = Items(TensorDataset(X, Y), num_classes=3)
    batch = source.batch(torch.tensor([5, 1]))
    assert torch.equal(batch.inputs, X[[5, 1]])
    assert batch.ids.tolist() == [5, 1]
    with pytest.raises(DataError, match="the data has the label 2"):
        Items(TensorDataset(X, Y), num_classes=2).batch([2])
    with pytest.raises(DataError, match="train is empty"):
        Items([], where="train")


def test_items_are_fetched_together_where_that_is_possible():
    table = datasets.Dataset.from_dict({"x": X.tolist(), "label": Y.tolist()}).with_format("torch")
    batch = Items(table).batch([3, 1])
    assert torch.equal(batch.inputs, X[[3, 1]])
    assert batch.labels.tolist() == [0, 1]


def test_a_subset_keeps_ids():
    source = Subset(Subset(Examples(X, Y), [1, 3, 5]), [2, 0])
    assert source.batch([0, 1]).ids.tolist() == [5, 1]
    assert source.labels.tolist() == [2, 1]
    assert len(source) == 2
    with pytest.raises(DataError, match="the part is empty"):
        Subset(source, [], where="the part")


def test_hidden_labels():
    source = Unlabelled(Examples(X, Y), labelled=[1, 4])
    expected = [UNLABELLED, 1, UNLABELLED, UNLABELLED, 1, UNLABELLED]
    assert source.labels.tolist() == expected
    assert source.batch([4, 0]).labels.tolist() == [1, UNLABELLED]
    assert Unlabelled(Examples(X)).batch([0]).labels is None
    assert Unlabelled(Examples(X)).labels is None


def test_fingerprints_tell_contents_apart():
    changed = X.clone()
    changed[3, 1] += 1
    base = Examples(X, Y)
    prints = [
        base,
        Examples(changed, Y),
        Examples(X, Y.flip(0)),
        Examples(X),
        Subset(base, [0, 1]),
        Subset(base, [1, 0]),
        Unlabelled(base),
        Unlabelled(base, [3]),
        Unlabelled(base, [4]),
    ]
    assert len({source.fingerprint() for source in prints}) == len(prints)
    assert Examples(X.clone(), Y.clone()).fingerprint() == base.fingerprint()


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.uint8, torch.int64])
def test_fingerprints_of_any_kind(dtype):
    column = torch.ones(3).to(dtype)
    assert len(Examples(column).fingerprint()) == 64
    assert len(Examples(X.T.contiguous().T, Y).fingerprint()) == 64


def test_items_are_told_apart_by_eight_of_them():
    one, two = Items(TensorDataset(X, Y)), Items(TensorDataset(X + 1, Y))
    assert one.fingerprint() != two.fingerprint()
    assert one.fingerprint() == Items(TensorDataset(X, Y)).fingerprint()
    assert len(Items(TensorDataset(X[:1], Y[:1])).fingerprint()) == 64


# -- what users have --------------------------------------------------------------------------------


def test_a_loader_gives_its_data_set_and_its_collate_function():
    def collate(items):
        return {"x": torch.stack([x for x, _ in items]) * 3, "y": torch.stack([y for _, y in items])}

    loader = DataLoader(TensorDataset(X, Y), batch_size=4, shuffle=True, collate_fn=collate)
    source, found = source_of(loader, where="train")
    assert found is loader
    assert torch.equal(source.batch([2]).inputs, X[[2]] * 3)
    assert source_of(DataLoader(TensorDataset(X, Y)), where="train")[1] is not None


def test_a_loader_that_drops_its_last_batch_is_told_that_none_is_dropped():
    with pytest.warns(TutelageWarning, match="train is a DataLoader with drop_last=True, which is not"):
        source, _ = source_of(DataLoader(TensorDataset(X, Y), batch_size=4, drop_last=True), where="train")
    assert len(source) == 6


def test_a_fingerprint_does_not_change_with_a_data_sets_own_draws():
    class Noisy(TensorDataset):
        def __getitem__(self, number):
            return X[number] + torch.rand(2), Y[number]

    first, again = (Items(Noisy(X)).fingerprint() for _ in range(2))
    assert first == again != Items(TensorDataset(X, Y)).fingerprint()
    assert Subset(Items(Noisy(X)), [0]).draws


class Stream(IterableDataset):
    def __iter__(self):
        return iter([])


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Stream(), batch_size=2),
        DataLoader(TensorDataset(X, Y), sampler=WeightedRandomSampler([1.0] * 6, 3)),
        DataLoader(TensorDataset(X, Y), sampler=RandomSampler(X, replacement=True)),
        DataLoader(TensorDataset(X, Y), sampler=RandomSampler(X, num_samples=3)),
        DataLoader(TensorDataset(X, Y), batch_size=None),
    ],
)
def test_a_loader_whose_order_cannot_be_repeated(loader):
    with pytest.raises(DataError, match="a stream or with a sampler of its own"):
        source_of(loader, where="train")


def test_tensors_sources_data_sets_and_lists():
    source, _ = source_of((X, Y), where="train")
    assert torch.equal(source.labels, Y)
    assert source_of(source, where="train")[0] is source
    assert torch.equal(source_of((X.numpy(), Y.numpy()), where="train")[0].batch([1]).inputs, X[[1]])
    assert len(source_of((X, X, Y), where="train")[0].batch([0]).inputs) == 2
    alone = source_of((X,), where="train")[0].batch([0])
    assert torch.equal(alone.inputs, X[:1])
    assert alone.labels is None
    assert source_of(TensorDataset(X, Y), where="train")[0].batch([1]).labels.tolist() == [1]
    pairs = [(x, int(y)) for x, y in zip(X, Y, strict=True)]
    assert source_of(pairs, where="train")[0].batch([2, 3]).labels.tolist() == [2, 0]
    assert torch.equal(source_of(X, where="train")[0].batch([1]).inputs, X[1:2])


@pytest.mark.parametrize(
    ("data", "came"),
    [
        (3, "int"),
        ("mnist", "str"),
        ({"train": X}, "dict"),
        (iter([]), "list_iterator"),
        (None, "NoneType"),
        ((X.tolist(), Y.tolist()), r"\(list, list\)"),
        ((X, None), r"\(Tensor, NoneType\)"),
        ((), r"\(\)"),
    ],
)
def test_other_kinds(data, came):
    with pytest.raises(DataError, match=f"train came as {came}; expected"):
        source_of(data, where="train")


def test_batches_of_a_users_own():
    class Own(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return number

    source = Items(Own(), lambda items: Batch(torch.tensor(items) * 2.0, torch.tensor(items) + 100))
    assert source.batch([1, 2]).ids.tolist() == [101, 102]
