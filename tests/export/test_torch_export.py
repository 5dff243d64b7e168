from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.export import torch_export
from tutelage.tasks.vision.models import resnet8

IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


class Branching(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows if rows.sum() > 0 else -rows


class OneSize(nn.Module):
    def forward(self, rows: Tensor) -> Tensor:
        return rows.reshape(3, 4)


@pytest.mark.slow
def test_runs_without_tutelage(tmp_path: Path, elsewhere: Callable[[str], Tensor]) -> None:
    network = resnet8(num_classes=4)
    network(IMAGES)  # moves the statistics of batch norm, which a file in training mode would not use
    network.eval()
    path = tmp_path / "student.pt2"
    assert torch_export(network, IMAGES[:1], path)["max_difference"] < 1e-5
    logits = elsewhere(f"""
program = torch.export.load({str(path)!r}).module()
logits = program(torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)).detach()
""")
    torch.testing.assert_close(logits, network(IMAGES).detach())


def test_neither_the_example_nor_paths_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "student.pt2"
    torch_export(nn.Linear(4, 3), torch.full((1, 4), 0.1234), path)
    assert torch.export.load(path).example_inputs is None
    content = path.read_bytes()
    assert torch.full((1, 4), 0.1234).numpy().tobytes() not in content
    assert str(Path(torch_export.__code__.co_filename).parent).encode() not in content


@pytest.mark.parametrize("network", [Branching(), OneSize()])
def test_a_network_that_cannot_be_followed(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"cannot follow {type(network).__name__}"):
        torch_export(network, torch.ones(3, 4), tmp_path / "student.pt2")
    assert list(tmp_path.iterdir()) == []
