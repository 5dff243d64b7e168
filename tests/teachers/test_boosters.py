"""Boosters in their own classes, and regressors, as teachers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tutelage.errors import ModelError
from tutelage.teachers import Predictor
from tutelage.teachers.boosters import is_booster, read_booster
from tutelage.types import Batch

ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
KIND = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0)
NUMBERS = ROWS[:, 0].copy()
BATCH = Batch(inputs=torch.from_numpy(ROWS[:5]), ids=torch.arange(5))


def xgboost(objective: str, labels: Any, **more: Any) -> Any:
    package = pytest.importorskip("xgboost")
    settings = {"objective": objective, "nthread": 1, **more}
    return package.train(settings, package.DMatrix(ROWS, label=labels), 3)


def lightgbm(objective: str, labels: Any, **more: Any) -> Any:
    package = pytest.importorskip("lightgbm")
    settings = {"objective": objective, "num_threads": 1, "verbose": -1, **more}
    return package.train(settings, package.Dataset(ROWS, label=labels), 3)


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_classes_of_xgboost_are_told_by_probabilities(objective: str) -> None:
    booster = xgboost(objective, KIND, num_class=3)
    same = xgboost("multi:softprob", KIND, num_class=3)
    package = pytest.importorskip("xgboost")
    found = read_booster(booster)(BATCH).logits.softmax(-1)
    assert is_booster(booster)
    assert found.numpy() == pytest.approx(same.predict(package.DMatrix(ROWS[:5])), abs=1e-5)


@pytest.mark.parametrize("objective", ["binary:logistic", "binary:logitraw"])
def test_yes_and_no_of_xgboost_are_two_classes(objective: str) -> None:
    found = read_booster(xgboost(objective, KIND > 0))(BATCH).logits
    assert found.shape == (5, 2)
    assert found.exp().sum(-1).tolist() == pytest.approx([1] * 5, abs=1e-5)


def test_numbers_of_boosters_stay_numbers() -> None:
    for booster in (xgboost("reg:squarederror", NUMBERS), lightgbm("regression", NUMBERS)):
        assert read_booster(booster)(BATCH).logits.shape == (5, 1)


def test_lightgbm_tells_classes_by_probabilities() -> None:
    several = lightgbm("multiclass", KIND, num_class=3)
    assert read_booster(several)(BATCH).logits.exp().numpy() == pytest.approx(
        several.predict(ROWS[:5]), abs=1e-5
    )
    assert read_booster(lightgbm("binary", KIND > 0))(BATCH).logits.shape == (5, 2)


def test_a_ranking_is_refused() -> None:
    package = pytest.importorskip("xgboost")
    data = package.DMatrix(ROWS, label=KIND, qid=np.arange(60) // 10)
    booster = package.train({"objective": "rank:pairwise", "nthread": 1}, data, 1)
    with pytest.raises(ModelError, match="neither probabilities nor numbers"):
        read_booster(booster)


def test_a_predictor_of_numbers_gives_them_as_they_are() -> None:
    teacher = Predictor(lambda rows: rows.sum(1), answers="numbers")
    assert torch.allclose(teacher(BATCH).logits[:, 0], BATCH.inputs.sum(1))
    several = Predictor(lambda rows: rows[:, :2], answers="numbers")
    assert torch.equal(several(BATCH).logits, BATCH.inputs[:, :2])


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(ModelError, match="finite numbers"):
        Predictor(lambda rows: rows[:, 0] * np.nan, answers="numbers")(BATCH)
    with pytest.raises(ModelError, match="for 5 rows"):
        Predictor(lambda rows: rows[0], answers="numbers")(BATCH)
