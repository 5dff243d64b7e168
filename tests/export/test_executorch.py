"""ExecuTorch goes with one release of torch each time; where it is not installed, a double stands for it."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import MissingExtra, ModelError
from tutelage.export import executorch

ROWS = torch.linspace(-1, 1, 20).reshape(5, 4)


class Double:
    """What `executorch` asks of the package: lowering to bytes, and a runtime that reads them again."""

    def __init__(self, *, off: float = 0.0) -> None:
        self.off = off

    def lower(self, program: Any, partitioner: list[Any]) -> Any:
        assert partitioner == ["xnnpack"]
        held = io.BytesIO()
        torch.export.save(program, held)
        return SimpleNamespace(to_executorch=lambda: SimpleNamespace(buffer=held.getvalue()))

    def load_program(self, path: Path) -> Any:
        module = torch.export.load(io.BytesIO(path.read_bytes())).module()

        def execute(inputs: list[Tensor]) -> list[Tensor]:
            return [module(*inputs) + self.off]

        return SimpleNamespace(load_method=lambda _: SimpleNamespace(execute=execute))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(double: Double) -> None:
        parts = {
            "executorch.exir": SimpleNamespace(to_edge_transform_and_lower=double.lower),
            "executorch.runtime": SimpleNamespace(Runtime=SimpleNamespace(get=lambda: double)),
            "executorch.backends.xnnpack.partition.xnnpack_partitioner": SimpleNamespace(
                XnnpackPartitioner=lambda: "xnnpack"
            ),
        }
        for name, part in parts.items():
            monkeypatch.setitem(sys.modules, name, part)  # type: ignore[misc]

    return put


def test_what_is_lowered_is_read_back_and_compared(install: Any, tmp_path: Path) -> None:
    install(Double())
    said = executorch(nn.Linear(4, 3), ROWS, tmp_path / "student.pte", most=4)
    assert (said["format"], said["max_difference"], said["examples"]) == ("executorch", 0.0, 5)


def test_a_runtime_that_answers_otherwise_is_refused(install: Any, tmp_path: Path) -> None:
    install(Double(off=0.1))
    with pytest.raises(ModelError, match=r"ExecuTorch file of Linear differs from the network by 0\.1"):
        executorch(nn.Linear(4, 3), ROWS, tmp_path / "student.pte")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "executorch.exir", None)  # importing it now fails
    with pytest.raises(MissingExtra, match=r"pip install 'tutelage\[executorch\]'"):
        executorch(nn.Linear(4, 3), ROWS, tmp_path / "student.pte")


def test_convolutions_take_as_many_as_was_said(tmp_path: Path):
    """torch takes another way for batches below 16, and a program that was traced with few holds no more."""
    pytest.importorskip("executorch.exir", exc_type=ImportError)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()
    said = executorch(network, torch.randn(40, 1, 4, 4), tmp_path / "student.pte", most=40)
    assert (said["examples"], said["same_first_choice"]) == (40, 1.0)
