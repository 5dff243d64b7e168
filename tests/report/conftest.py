"""The made-up run, as fixtures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_sample", Path(__file__).with_name("sample.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def sample() -> ModuleType:
    return _load()


@pytest.fixture
def results(sample: ModuleType) -> dict[str, Any]:
    return sample.results()


@pytest.fixture
def details(sample: ModuleType) -> dict[str, Any]:
    return sample.details()


@pytest.fixture(scope="session")
def page(sample: ModuleType) -> str:
    from tutelage.report import render

    return render(sample.results(), sample.details())
