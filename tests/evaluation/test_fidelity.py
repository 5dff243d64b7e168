import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.evaluation import Predictions, confusion, fidelity
from tutelage.types import UNLABELLED


def of(probs, labels=None, ids=None):
    logits = torch.tensor(probs).log()
    count = len(logits)
    return Predictions(
        logits,
        torch.full((count,), UNLABELLED) if labels is None else torch.tensor(labels),
        torch.arange(count) if ids is None else torch.tensor(ids),
    )


def test_by_hand():
    teacher = of([[0.75, 0.25], [0.75, 0.25], [0.05, 0.95]], labels=[1, 1, 1])
    student = of([[0.5, 0.5], [0.25, 0.75], [0.05, 0.95]], labels=[1, 1, 1])
    found = fidelity(student, teacher)
    first = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    second = 0.75 * math.log(3) - 0.25 * math.log(3)
    assert found["agreement"] == pytest.approx(2 / 3)
    assert found["kl"] == pytest.approx((first + second) / 3, abs=1e-6)
    assert found["teacher_errors"] == 2
    assert found["agreement_on_teacher_errors"] == 0.5
    low, high = found["bins"]
    assert low == {
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.8),
        "count": 2,
        "agreement": 0.5,
        "kl": pytest.approx((first + second) / 2, abs=1e-6),
    }
    assert (high["low"], high["high"], high["count"]) == (pytest.approx(0.9), 1.0, 1)


def test_the_confusion_has_the_teacher_in_its_rows():
    teacher = of([[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7]])
    student = of([[0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.8, 0.1, 0.1]])
    assert confusion(student, teacher) == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_answers_are_aligned_by_id():
    teacher = of([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], labels=[0, 0, 1], ids=[5, 2, 9])
    shuffled = of([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]], labels=[1, 0, 0], ids=[9, 5, 2])
    found = fidelity(shuffled, teacher)
    assert found["agreement"] == 1
    assert found["kl"] == 0
    assert found["agreement_on_teacher_errors"] == 1
    assert confusion(shuffled, teacher) == [[2, 0], [0, 1]]


def test_without_labels_there_are_no_errors_to_copy():
    found = fidelity(of([[0.9, 0.1]]), of([[0.9, 0.1]]))
    assert found["teacher_errors"] == 0
    assert found["agreement_on_teacher_errors"] is None


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (of([[0.9, 0.1]], ids=[1]), of([[0.9, 0.1]], ids=[2]), "1 examples that the teacher lacks"),
        (of([[0.9, 0.1]] * 2, ids=[1, 1]), of([[0.9, 0.1]] * 2), "student's answers hold 1 repeated"),
        (of([[0.9, 0.1]]), of([[0.8, 0.1, 0.1]]), "2 classes and the teacher with 3"),
        (of([[0.9, 0.1]], labels=[0]), of([[0.9, 0.1]], labels=[1]), "1 examples have one label"),
    ],
)
def test_answers_that_cannot_be_compared(student, teacher, message):
    for compare in (fidelity, confusion):
        with pytest.raises(ValueError, match=message):
            compare(student, teacher)


def test_no_example_is_an_error():
    none = Predictions(torch.zeros(0, 2), torch.zeros(0).long(), torch.zeros(0).long())
    with pytest.raises(ValueError, match="no example"):
        fidelity(none, none)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), scale=st.floats(0.01, 200))
def test_bins_partition_the_examples_and_kl_is_not_negative(seed, count, scale):
    generator = torch.Generator().manual_seed(seed)
    labels, ids = torch.randint(4, (count,), generator=generator), torch.randperm(count, generator=generator)
    student, teacher = (
        Predictions(scale * torch.randn(count, 4, generator=generator), labels, ids) for _ in range(2)
    )
    found = fidelity(student, teacher)
    assert sum(part["count"] for part in found["bins"]) == count
    assert found["kl"] >= 0
    for key in ("agreement", "kl"):
        assert sum(part["count"] * part[key] for part in found["bins"]) / count == pytest.approx(found[key])
    assert sum(map(sum, confusion(student, teacher))) == count
    itself = fidelity(teacher, teacher)
    assert itself["agreement"] == 1
    assert itself["kl"] == 0
