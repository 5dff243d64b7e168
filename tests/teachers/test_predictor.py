"""Anything with predict_proba as a teacher."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tutelage.errors import ModelError
from tutelage.teachers import Predictor
from tutelage.types import Batch


def batch(inputs: Any) -> Batch:
    return Batch(inputs=inputs, ids=torch.arange(len(inputs)))


def constant(*row: float) -> Any:
    return lambda rows: np.tile(np.array(row), (len(rows), 1))


def forest(labels: list[Any]) -> RandomForestClassifier:
    features = np.random.default_rng(0).normal(size=(60, 4))
    targets = np.array(labels)[np.arange(60) % len(labels)]
    features[:, 0] += np.arange(60) % len(labels)
    return RandomForestClassifier(n_estimators=5, random_state=0).fit(features, targets)


def test_logits_are_log_probabilities_above_the_floor() -> None:
    logits = Predictor(constant(0.75, 0.25, 0.0))(batch(torch.zeros(2, 3))).logits
    expected = torch.tensor([0.75, 0.25, 1e-6]).log().expand(2, 3)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected)
    floor = Predictor(constant(1.0, 0.0), epsilon=1e-3)(batch(torch.zeros(1, 3))).logits[0, 1]
    assert floor == pytest.approx(math.log(1e-3))


def test_a_forest_answers() -> None:
    trees, x = forest([0, 1, 2]), torch.randn(7, 2, 2)
    expected = trees.predict_proba(x.flatten(1).numpy())
    for given in (trees, trees.predict_proba):
        softmax = Predictor(given)(batch(x)).logits.softmax(-1).numpy()
        np.testing.assert_allclose(softmax, expected, atol=1e-5)


def test_a_pipeline_answers() -> None:
    pipeline = make_pipeline(StandardScaler(), forest([0, 1, 2])).fit(np.eye(4), [0, 1, 2, 0])
    assert Predictor(pipeline)(batch(torch.randn(7, 4))).logits.shape == (7, 3)


@pytest.mark.parametrize(
    ("inputs", "shape", "dtype"),
    [
        (torch.zeros(3, 2, 2, requires_grad=True), (3, 4), np.float32),
        (torch.zeros(3), (3, 1), np.float32),
        (torch.zeros(3, 2, dtype=torch.float64), (3, 2), np.float64),
        (torch.zeros(3, 2, dtype=torch.bfloat16), (3, 2), np.float32),
        (torch.full((3, 1), 2**24 + 1), (3, 1), np.float64),
    ],
)
def test_inputs_become_rows(inputs: torch.Tensor, shape: tuple[int, int], dtype: type) -> None:
    seen: list[Any] = []

    def predict(rows: Any) -> Any:
        seen.append(rows)
        return np.full((len(rows), 2), 0.5)

    Predictor(predict)(batch(inputs))
    assert seen[0].shape == shape
    assert seen[0].dtype == dtype
    assert (seen[0] == inputs.detach().double().reshape(shape).numpy()).all()


@pytest.mark.parametrize("labels", [[1, 2, 3], ["cat", "dog"], [0, 2]])
@pytest.mark.parametrize("bound", [False, True])
def test_other_classes_need_an_order(labels: list[Any], bound: bool) -> None:
    trees = forest(labels)
    given = trees.predict_proba if bound else trees
    with pytest.raises(ModelError, match="Give classes="):
        Predictor(given)
    x = torch.randn(4, 4)
    logits = Predictor(given, classes=labels[::-1])(batch(x)).logits
    expected = trees.predict_proba(x.numpy())[:, ::-1].astype(np.float32)
    torch.testing.assert_close(logits.exp().numpy(), np.clip(expected, 1e-6, 1), atol=1e-6, rtol=0)


def test_a_class_never_seen_gets_the_floor() -> None:
    teacher = Predictor(forest([0, 2]), classes=[0, 1, 2])
    logits = teacher(batch(torch.randn(4, 4))).logits
    assert logits.shape == (4, 3)
    torch.testing.assert_close(logits[:, 1], torch.full((4,), math.log(1e-6)))


def test_a_function_without_classes_has_its_columns() -> None:
    logits = Predictor(constant(0.5, 0.3, 0.2), classes=[2, 0, 1])(batch(torch.zeros(1, 1))).logits
    torch.testing.assert_close(logits.exp(), torch.tensor([[0.2, 0.5, 0.3]]))
    with pytest.raises(ModelError, match=r"answered with 3 classes\. Expected 2"):
        Predictor(constant(0.5, 0.3, 0.2), classes=[1, 0])(batch(torch.zeros(1, 1)))


@pytest.mark.parametrize("classes", [["cat"], ["cat", "dog", "dog"], ["cat", "dgo"]])
def test_classes_that_do_not_fit_are_refused(classes: list[str]) -> None:
    with pytest.raises(ModelError, match=r"classes=.*\['cat', 'dog'\]"):
        Predictor(forest(["cat", "dog"]), classes=classes)


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -1e-3])
def test_a_floor_outside_is_refused(epsilon: float) -> None:
    with pytest.raises(ValueError, match="floor"):
        Predictor(constant(1.0), epsilon=epsilon)


def test_what_cannot_predict_is_refused() -> None:
    with pytest.raises(ModelError, match="a str came"):
        Predictor("forest")
    with pytest.raises(ModelError, match="several outputs"):
        Predictor(RandomForestClassifier(n_estimators=1).fit(np.eye(3), np.array([[0, 1], [1, 0], [0, 0]])))


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda rows: np.full(len(rows), 1.0), r"shape \(3,\)"),
        (lambda rows: np.ones((1, 1)), "for 3 rows"),
        (lambda rows: np.full((len(rows), 2), 0.9), "not probabilities"),
        (lambda rows: np.tile([1.5, -0.5], (len(rows), 1)), "not probabilities"),
        (lambda rows: np.full((len(rows), 2), np.nan), "not probabilities"),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(predict: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Predictor(predict)(batch(torch.zeros(3, 2)))


def test_inputs_that_are_no_tensor_are_refused() -> None:
    with pytest.raises(ModelError, match="type dict"):
        Predictor(constant(1.0))(Batch(inputs={"x": torch.zeros(1)}, ids=torch.arange(1)))


def test_an_example_that_comes_again_is_not_asked_about_again():
    asked = []

    def even(rows):
        asked.append(len(rows))
        return np.full((len(rows), 2), 0.5)

    teacher, inputs = Predictor(even), torch.randn(6, 3)
    for numbers in ([0, 1, 2], [2, 3], [0, 3, 1], [4, 5, 4]):
        found = teacher(Batch(inputs=inputs[numbers], ids=torch.tensor(numbers))).logits
        assert found.shape == (len(numbers), 2)
    assert asked == [3, 1, 3]  # what comes twice in one batch is asked about twice
    teacher(Batch(inputs=inputs[[0]] + 1, ids=torch.tensor([0])))
    assert asked[-1] == 1
