from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from tutelage.data import (
    ChangedLabels,
    Drawn,
    Examples,
    Loader,
    Subset,
    read_weights,
    source_of,
    weights_by_class,
)
from tutelage.errors import DataError
from tutelage.types import UNLABELLED

N = 200
X, Y = torch.arange(N).float()[:, None], (torch.arange(N) % 4 == 0).long()


def drawn(source, epochs=20):
    loader = Loader(source, batch_size=50, seed=1)
    return torch.cat([batch.ids for e in range(epochs) for micros in loader.epoch(e) for batch in micros])


def test_examples_are_drawn_in_proportion_and_as_many_as_there_are():
    weights = torch.where(Y == 1, 3.0, 1.0)
    source = Drawn(Examples(X, Y), weights)
    ids = drawn(source)
    assert len(ids) == 20 * N
    assert Y[ids].double().mean() == pytest.approx(0.5, abs=0.03)  # 50 × 3 of 50 × 3 + 150
    assert torch.equal(ids, drawn(source))


def test_an_example_of_weight_0_is_never_drawn_and_measuring_sees_each_once():
    source = Drawn(Examples(X, Y), (Y == 0).double())
    assert not bool(Y[drawn(source, 3)].any())
    measured = torch.cat([batch.ids for batch in Loader(source, batch_size=50, shuffle=False)])
    assert torch.equal(measured, torch.arange(N))


def test_weights_stay_with_their_examples():
    source = Drawn(Examples(X, Y), torch.arange(N).double())
    part = ChangedLabels(Subset(source, [5, 9]), lambda batch: batch.labels)
    assert part.weights is not None
    assert part.weights.tolist() == [5, 9]
    assert source.fingerprint() != Drawn(Examples(X, Y), torch.ones(N)).fingerprint()


def test_a_loader_that_draws_by_weights_is_followed():
    sampler = WeightedRandomSampler(torch.where(Y == 1, 3.0, 1.0).tolist(), N)
    source, _ = source_of(DataLoader(TensorDataset(X, Y), batch_size=20, sampler=sampler), where="train")
    assert Y[drawn(source)].double().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "sampler", [WeightedRandomSampler([1.0] * N, 50), WeightedRandomSampler([1.0] * N, N, False)]
)
def test_a_loader_that_draws_fewer_or_without_replacement_is_refused(sampler):
    with pytest.raises(DataError, match="as many examples as there are"):
        source_of(DataLoader(TensorDataset(X, Y), batch_size=20, sampler=sampler), where="train")


def test_balanced_classes_weigh_the_same_and_unlabelled_ones_the_mean():
    labels = torch.where(torch.arange(N) < 8, UNLABELLED, Y)
    weights = weights_by_class(Examples(X, labels), "balanced", 2)
    assert weights[labels == 0].sum() == pytest.approx(float(weights[labels == 1].sum()))
    assert weights[0] == pytest.approx(float(weights[8:].mean()))


def test_labels_that_are_not_known_beforehand_are_read():
    source, _ = source_of(TensorDataset(X, Y), where="train")
    assert weights_by_class(source, [1, 2], 2).tolist() == (Y + 1).tolist()


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ([1.0], "expected 2"),
        ([-1.0, 1.0], "at least 0"),
        ([0.0, 0.0], "at least 0"),
        ([1.0, float("nan")], "at least"),
    ],
)
def test_weights_that_cannot_be_are_refused(came, said):
    with pytest.raises(DataError, match=said):
        read_weights(came, 2, name="class_weights")
    with pytest.raises(DataError, match='expected "balanced"'):
        weights_by_class(Examples(X, Y), "even", 2)
