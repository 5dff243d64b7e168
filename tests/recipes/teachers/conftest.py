"""Teachers of the plain recipe, described, finished and asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tutelage.studies import Study
from tutelage.teachers import Teacher

FROZEN: dict[str, Any] = {
    "model": {"mlp": {"widths": [8]}},
    "train": {"epochs": 1},
    "optimizers": {"student": {"sgd": {"lr": 0.1}}},
}


@pytest.fixture
def trained() -> Callable[..., dict[str, Any]]:
    """A network that is trained here, as a recipe describes it."""
    return lambda **changes: {"frozen": {**FROZEN, **changes}}


@pytest.fixture
def finish() -> Callable[[Study], Teacher]:
    """The teacher of a study, its networks fresh."""
    return lambda study: study.teacher.finish([arm.networks["student"]() for arm in study.teacher.arms])


@pytest.fixture
def logits() -> Callable[[Teacher, Study], torch.Tensor]:
    """What a teacher says about five flowers."""
    return lambda teacher, study: teacher(study.problem.train.batch(range(5))).logits
