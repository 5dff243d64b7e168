"""The small training as fixtures: in this process, or in one of its own."""

from __future__ import annotations

import importlib.util
import multiprocessing
import runpy
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

import pytest

PRELOAD = ["tutelage.engine", "tutelage.data", "torch._dynamo"]  # imported once, and not by each process
SCRIPT = Path(__file__).with_name("training.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("engine_training", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["engine_training"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def training() -> ModuleType:
    return _load()


@pytest.fixture
def start() -> Iterator[Callable[..., BaseProcess]]:
    """Start the training in a process that can be killed, or meet others."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tutelage.engine", "tutelage.data", "torch._dynamo"]
    )  # imported once, and not by each process
    started: list[BaseProcess] = []

    def one(out: Path, environment: dict[str, str] | None = None, **train: object) -> BaseProcess:
        out.mkdir(exist_ok=True)
        given = {"train": train, "out": str(out), "environment": environment or {}}
        process = context.Process(target=runpy.run_path, args=(str(SCRIPT), {"GIVEN": given}))
        process.start()
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.join()
