import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from tutelage.errors import DataError
from tutelage.evaluation import Predictions, calibration
from tutelage.evaluation.bins import confidence_bins
from tutelage.types import UNLABELLED


def of(probs, labels):
    return Predictions(torch.tensor(probs).log(), torch.tensor(labels), torch.arange(len(labels)))


def test_by_hand():
    # two answers at 0.75, one right: the bin is off by 0.25; one at 0.95, right: off by 0.05
    found = calibration(of([[0.75, 0.25], [0.25, 0.75], [0.95, 0.05]], [0, 0, 0]), bins=10)
    assert found["ece"] == pytest.approx((2 * 0.25 + 0.05) / 3, abs=1e-6)
    assert found["nll"] == pytest.approx(-(math.log(0.75) + math.log(0.25) + math.log(0.95)) / 3, abs=1e-6)
    assert found["brier"] == pytest.approx(2 * (0.25**2 + 0.75**2 + 0.05**2) / 3, abs=1e-6)
    assert found["confidence"] == pytest.approx((0.75 + 0.75 + 0.95) / 3, abs=1e-6)
    assert [point["count"] for point in found["curve"]] == [2, 1]
    assert found["curve"][0] == {
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.8),
        "count": 2,
        "confidence": pytest.approx(0.75),
        "accuracy": 0.5,
    }


@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_as_torchmetrics_and_scikit_learn(bins, scale):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(500, 6, generator=generator)
    labels = torch.randint(6, (500,), generator=generator)
    found = calibration(Predictions(logits, labels, torch.arange(500)), bins=bins)
    probs = logits.double().softmax(-1)
    theirs = multiclass_calibration_error(probs, labels, num_classes=6, n_bins=bins, norm="l1")
    assert found["ece"] == pytest.approx(float(theirs), abs=1e-6)
    assert found["nll"] == pytest.approx(log_loss(labels, probs.numpy(), labels=range(6)))
    truth = torch.nn.functional.one_hot(labels, 6)
    assert found["brier"] == pytest.approx(float(((probs - truth) ** 2).sum() / 500))


@pytest.mark.parametrize("right", [True, False])
def test_a_sure_answer(right):
    found = calibration(
        Predictions(torch.tensor([[0.0, 100.0]]), torch.tensor([int(right)]), torch.arange(1))
    )
    assert found["ece"] == pytest.approx(0 if right else 1)
    assert found["brier"] == pytest.approx(0 if right else 2)
    assert found["nll"] == pytest.approx(0 if right else 100)
    assert found["curve"][0]["high"] == 1


def test_unlabelled_examples_do_not_count():
    assert calibration(of([[0.9, 0.1], [0.2, 0.8]], [0, UNLABELLED]))["confidence"] == pytest.approx(0.9)
    with pytest.raises(DataError, match="label"):
        calibration(of([[0.9, 0.1]], [UNLABELLED]))


def test_edges_belong_to_the_bin_above_and_one_to_the_last():
    parts = list(confidence_bins(torch.tensor([0.0, 0.25, 0.5, 1.0]), bins=4))
    assert [(low, high, inside.tolist().index(True)) for low, high, inside in parts] == [
        (0.0, 0.25, 0),
        (0.25, 0.5, 1),
        (0.5, 0.75, 2),
        (0.75, 1.0, 3),
    ]


def test_no_bin_is_an_error():
    with pytest.raises(ValueError, match="at least 1 bin"):
        calibration(of([[0.9, 0.1]], [0]), bins=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), bins=st.integers(1, 20))
def test_ranges_and_order(seed, count, bins):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(count, 3, generator=generator)
    labels = torch.randint(3, (count,), generator=generator)
    found = calibration(Predictions(logits, labels, torch.arange(count)), bins=bins)
    order = torch.randperm(count, generator=generator)
    again = calibration(Predictions(logits[order], labels[order], order), bins=bins)
    assert 0 <= found["ece"] <= 1
    assert 0 <= found["brier"] <= 2
    assert found["nll"] >= 0
    assert sum(point["count"] for point in found["curve"]) == count
    assert again["ece"] == pytest.approx(found["ece"])
