from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tutelage.recipes import Recipe, build
from tutelage.recipes.load import parse
from tutelage.studies import Study

SGD = {"student": {"sgd": {"lr": 0.1}}}
PLAIN: dict[str, Any] = {
    "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
    "teacher": {"frozen": {"model": {"mlp": {"widths": [8]}}, "train": {"epochs": 1}, "optimizers": SGD}},
    "student": {"model": {"mlp": {"widths": [4]}}},
    "stages": [
        {
            "scheme": {"offline": {"matches": [{"loss": "response.SoftTarget", "temperature": 2.0}]}},
            "optimizers": SGD,
            "train": {"epochs": 3, "batch_size": 16},
        }
    ],
    "seeds": 2,
}
"""A recipe on 90 flowers, which builds in a moment."""


@pytest.fixture
def plain() -> dict[str, Any]:
    return copy.deepcopy(PLAIN)


@pytest.fixture
def make(plain: dict[str, Any]) -> Callable[..., Study]:
    """Build the plain recipe with keys changed."""

    def made(**changes: Any) -> Study:
        return build(parse({**plain, **changes}), "flowers")

    return made


@pytest.fixture
def recipe(plain: dict[str, Any]) -> Recipe:
    return parse(plain)
