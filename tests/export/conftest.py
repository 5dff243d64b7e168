from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

_GUARD = """
import sys
sys.modules["tutelage"] = None  # importing it now fails
import torch
torch.set_num_threads(1)
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Callable[[str], torch.Tensor]:
    """Run code in a process that has no tutelage, and return the tensor that it leaves in `logits`."""

    def run(code: str) -> torch.Tensor:
        answer = tmp_path / "answer.pt"
        left = f"\nassert sys.modules['tutelage'] is None\ntorch.save(logits, {str(answer)!r})\n"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        finished = subprocess.run(
            [sys.executable, "-c", _GUARD + code + left],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        logits: torch.Tensor = torch.load(answer, weights_only=True)
        return logits

    return run
