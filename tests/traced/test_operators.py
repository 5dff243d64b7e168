from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.export import onnx
from tutelage.traced.operators import layer_of, said_of

ROWS = torch.linspace(-1, 1, 20).reshape(5, 4)


class Bessel(nn.Module):
    """An operator that ONNX lacks."""

    def forward(self, rows: Tensor) -> Tensor:
        return rows * torch.special.i1e(rows)


class Choosy(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows * 2 if rows.sum() > 0 else rows


def program(layer: nn.Module) -> torch.export.ExportedProgram:
    return torch.export.export(nn.Sequential(nn.Linear(4, 4), layer).eval(), (ROWS,))


@pytest.mark.slow
def test_the_layer_of_an_operator_is_found_before_and_after_decomposition() -> None:
    held = program(Bessel())
    assert layer_of(held, "aten.special_i1e.default") == "the layer 1 (Bessel)"
    assert layer_of(held, "prims.bessel_i1e.default") == "the layer 1 (Bessel)"
    assert layer_of(held, "aten.addmm.default") == "the layer 0 (Linear)"
    assert layer_of(held, "aten.sin.default") is None


def test_an_error_that_names_no_operator_is_told_as_it_is() -> None:
    assert said_of(program(nn.ReLU()), ValueError("too deep.\nmore")) == "too deep"


@pytest.mark.slow
def test_an_operator_that_onnx_lacks_is_named_with_its_layer(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    network = nn.Sequential(nn.Linear(4, 4), Bessel())
    with pytest.raises(ModelError, match=r"operator \S*i1e\S*, which the layer 1 \(Bessel\) calls"):
        onnx(network, ROWS, tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_forward_that_branches_on_data_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match="without branches on values"):
        onnx(nn.Sequential(nn.Linear(4, 4), Choosy()), ROWS, tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []
