"""Boosters in their own classes, those of XGBoost and LightGBM, read as predictors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.errors import ModelError
from tutelage.teachers.predictor import Predictor

__all__ = ["is_booster", "read_booster"]

Array = npt.NDArray[Any]


def is_booster(came: Any) -> bool:
    """Whether this is a `Booster` of XGBoost or LightGBM."""
    return type(came).__name__ == "Booster" and _home(came) in ("xgboost", "lightgbm")


def read_booster(came: Any) -> Predictor:
    """A booster as a teacher; its objective says whether it answers with probabilities or numbers.

    Args:
        came: a `Booster` of XGBoost or LightGBM.

    Raises:
        ModelError: an objective whose answers are neither, such as a ranking.
    """
    name, ask = _of_xgboost(came) if _home(came) == "xgboost" else _of_lightgbm(came)
    kind = name.partition(":")[0].partition(" ")[0]
    if kind in ("rank", "lambdarank", "rank_xendcg", "survival"):
        raise ModelError(
            f"the booster was trained for {name}, whose answers are neither probabilities nor numbers to "
            "learn; give one for classes or for numbers, or a tutelage.teachers.Predictor of a function of "
            "your own"
        )
    if kind in ("binary", "multi", "multiclass", "multiclassova", "cross_entropy"):
        return Predictor(lambda rows: _both(ask(rows)))
    return Predictor(ask, answers="numbers")


def _home(came: Any) -> str:
    return type(came).__module__.partition(".")[0]


def _of_xgboost(booster: Any) -> tuple[str, Callable[[Any], Array]]:
    import xgboost

    name = str(json.loads(booster.save_config())["learner"]["objective"]["name"])
    margins = name in ("binary:logitraw", "binary:hinge", "multi:softmax")

    def ask(rows: Any) -> Array:
        names = booster.feature_names if isinstance(rows, np.ndarray) else None
        given = xgboost.DMatrix(rows, feature_names=names, enable_categorical=True)
        answered = np.asarray(booster.predict(given, output_margin=margins), dtype=np.float64)
        return _of_margins(answered) if margins else answered

    return name, ask


def _of_lightgbm(booster: Any) -> tuple[str, Callable[[Any], Array]]:
    return str(booster.dump_model(num_iteration=1).get("objective", "")), booster.predict


def _of_margins(margins: Array) -> Array:
    if margins.ndim == 1:
        return np.asarray(1 / (1 + np.exp(-margins)))
    powers = np.exp(margins - margins.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _both(probabilities: Array) -> Array:
    """Of one probability, that of yes, those of no and yes."""
    held = np.asarray(probabilities, dtype=np.float64)
    return held if held.ndim == 2 else np.stack([1 - held, held], axis=1)
