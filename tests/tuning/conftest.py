from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

SEARCH = {"temperature": (1, 8), "lr": (1e-3, 1e-1)}


def call() -> dict[str, Any]:
    """Arguments of `distill`: sixty points of two classes, and a teacher that knows them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    teacher = nn.Linear(4, 2)
    with torch.no_grad():
        teacher.weight.zero_()
        teacher.weight[1, 0] = 3.0
        teacher.bias.zero_()
    data = {"train": (x[:40], y[:40]), "validation": (x[40:], y[40:])}
    return {"teacher": teacher, "student": lambda: nn.Linear(4, 2), **data, "epochs": 2, "batch_size": 20}


@pytest.fixture(scope="session")
def call_of() -> Callable[[], dict[str, Any]]:
    return call


@pytest.fixture
def arguments() -> dict[str, Any]:
    return call()
