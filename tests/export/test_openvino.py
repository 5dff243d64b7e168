from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tutelage.errors import MissingExtra, OutputError
from tutelage.export import openvino

ROWS = torch.linspace(-1, 1, 20).reshape(5, 4)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it now fails
    with pytest.raises(MissingExtra, match=r"pip install 'tutelage\[openvino\]'"):
        openvino(nn.Linear(4, 3), ROWS, tmp_path / "student.xml")


@pytest.mark.slow
def test_both_files_run_elsewhere(tmp_path: Path) -> None:
    package = pytest.importorskip("openvino")
    network = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    said = openvino(network, ROWS, tmp_path / "student.xml")
    assert said["max_difference"] < 1e-5
    compiled = package.Core().compile_model(str(tmp_path / "student.xml"), "CPU")
    for count in (1, 5):
        answer = torch.from_numpy(compiled(ROWS[:count].numpy())["logits"])
        torch.testing.assert_close(answer, network(ROWS[:count]).detach(), rtol=1e-3, atol=1e-3)
    smaller = openvino(network, ROWS, tmp_path / "half.xml", half=True, tolerance=1e-2)
    sizes = [(tmp_path / f"{name}.bin").stat().st_size for name in ("half", "student")]
    assert sizes[0] < sizes[1]
    assert smaller["max_difference"] < 1e-2


def test_weights_that_are_there_stay(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    (tmp_path / "student.bin").write_text("mine")
    with pytest.raises(OutputError, match=r"student.bin is there already.*overwrite=True"):
        openvino(nn.Linear(4, 3), ROWS, tmp_path / "student.xml")
