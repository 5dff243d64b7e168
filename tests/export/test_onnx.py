from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.errors import MissingExtra, ModelError
from tutelage.export import onnx
from tutelage.tasks.vision.models import resnet8

IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_names_the_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest) if name not in ("onnx", "onnxscript", "onnxruntime") else object()

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"needs '{package}'.*pip install 'tutelage\[onnx\]'"):
        onnx(nn.Linear(4, 3), torch.ones(1, 4), tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_import_alone_needs_no_package() -> None:
    module = sys.modules["tutelage.traced.translate"]
    assert not {"onnxruntime", "onnxscript"} & set(vars(module))


@pytest.mark.slow
def test_the_graph_takes_any_number_of_examples(tmp_path: Path) -> None:
    packages = {name: pytest.importorskip(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    network(torch.arange(20.0).reshape(5, 4))
    path = tmp_path / "student.onnx"
    onnx(network, torch.ones(1, 4), path)
    graph = packages["onnx"].load(path).graph
    assert [given.name for given in graph.output] == ["logits"]
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
    session = packages["onnxruntime"].InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        rows = torch.randn(count, 4)
        (logits,) = session.run(None, {graph.input[0].name: rows.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), network.eval()(rows).detach())


@pytest.mark.parametrize("opset", [17, 20, 22])
@pytest.mark.slow
def test_the_opset_is_a_setting(opset: int, tmp_path: Path) -> None:
    packages = {name: pytest.importorskip(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    said = onnx(nn.Linear(4, 3), torch.ones(2, 4), tmp_path / "student.onnx", opset=opset)
    written = packages["onnx"].load(tmp_path / "student.onnx").opset_import
    assert said["opset"] == opset == next(one.version for one in written if one.domain == "")


def test_an_opset_that_is_not_known(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ModelError, match=r"opset came as 11; the installed onnx knows 17 to \d+"):
        onnx(nn.Linear(4, 3), torch.ones(2, 4), tmp_path / "student.onnx", opset=11)


@pytest.mark.slow
def test_a_network_that_is_an_onnx_file_is_written_as_it_is(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    onnx(nn.Linear(4, 3), torch.ones(1, 4), tmp_path / "inner.onnx")
    content = (tmp_path / "inner.onnx").read_bytes()

    class File(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("file", torch.frombuffer(bytearray(content), dtype=torch.uint8))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
            (name,) = [given.name for given in session.get_inputs()]
            return torch.from_numpy(session.run(None, {name: rows.numpy()})[0])

    said = onnx(File(), torch.ones(5, 4), tmp_path / "student.onnx", opset=18)
    assert (tmp_path / "student.onnx").read_bytes() == content
    assert (said["max_difference"], said["opset"]) == (0, 20)


def test_a_network_too_large_for_one_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with torch.device("meta"):
        network = nn.Linear(2**15, 2**15)
    with pytest.raises(ModelError, match=r"holds 4\.3 GB"):
        onnx(network, torch.ones(1, 4), tmp_path / "student.onnx")


@pytest.mark.slow
def test_a_residual_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    network = resnet8(num_classes=4)
    network(IMAGES)
    assert onnx(network, IMAGES, tmp_path / "student.onnx")["max_difference"] < 1e-4
