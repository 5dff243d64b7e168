import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from tutelage.errors import DataError, TutelageWarning
from tutelage.evaluation import Predictions, classification
from tutelage.types import UNLABELLED


def answers(classes, labels, *, width=3):
    logits = torch.nn.functional.one_hot(torch.tensor(classes), width).float()
    return Predictions(logits, torch.tensor(labels), torch.arange(len(labels)))


def test_by_hand():
    # class 0: 3 of 4 found, class 1: 1 of 2, class 2 has no example
    found = classification(answers([0, 0, 0, 2, 1, 0], [0, 0, 0, 0, 1, 1]), watch=[0, 1])
    assert found == {
        "accuracy": pytest.approx(4 / 6),
        "errors": 2.0,
        "balanced_accuracy": pytest.approx((0.75 + 0.5) / 2),
        "worst_class_accuracy": 0.5,
        "recall_0": 0.75,
        "recall_1": 0.5,
    }
    assert all(type(value) is float for value in found.values())


def test_as_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5, generator=generator)
    labels = torch.randint(5, (200,), generator=generator)
    found = classification(Predictions(logits, labels, torch.arange(200)), watch=range(5))
    classes = logits.argmax(-1)
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, classes))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, classes))
    recalls = recall_score(labels, classes, average=None)
    assert [found[f"recall_{index}"] for index in range(5)] == pytest.approx(list(recalls))
    assert found["worst_class_accuracy"] == pytest.approx(min(recalls))


def test_unlabelled_examples_do_not_count():
    found = classification(answers([0, 1, 1], [0, 1, UNLABELLED]))
    assert found["accuracy"] == 1
    assert found["errors"] == 0
    with pytest.raises(DataError, match="label"):
        classification(answers([0], [UNLABELLED]))


def test_a_watched_class_without_examples_is_left_out_with_a_warning():
    with pytest.warns(TutelageWarning, match="class 2 has no example"):
        found = classification(answers([0], [0]), watch=[2])
    assert "recall_2" not in found


def test_a_watched_class_that_is_none_is_an_error():
    with pytest.raises(ValueError, match=r"class \[3, -1\].*0 … 2"):
        classification(answers([0], [0]), watch=[0, 3, -1])
