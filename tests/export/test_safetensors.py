from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tutelage.export import safetensors
from tutelage.tasks.networks import mlp
from tutelage.tasks.vision.models import resnet8

IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


@pytest.mark.slow
def test_loads_into_a_plain_module_without_tutelage(
    tmp_path: Path, elsewhere: Callable[[str], Tensor]
) -> None:
    network = mlp(num_classes=3, in_features=4, widths=[8]).eval()
    rows = torch.arange(20.0).reshape(5, 4)
    path = tmp_path / "student.safetensors"
    safetensors(network, rows, path)
    logits = elsewhere(f"""
from collections import OrderedDict
from safetensors.torch import load_file
from torch import nn
class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.Sequential(OrderedDict(linear=nn.Linear(4, 8), activation=nn.ReLU()))
        self.hidden = nn.ModuleList([block])
        self.head = nn.Linear(8, 3)
    def forward(self, rows):
        return self.head(self.hidden[0](rows))
network = Plain()
network.load_state_dict(load_file({str(path)!r}))
logits = network(torch.arange(20.0).reshape(5, 4)).detach()
""")
    assert torch.equal(logits, network(rows).detach())


def test_running_statistics_are_written(tmp_path: Path) -> None:
    network = resnet8(num_classes=4)
    network(IMAGES)  # moves the statistics of batch norm
    assert safetensors(network, IMAGES, tmp_path / "student")["max_difference"] == 0
    fresh = resnet8(num_classes=4)
    fresh.load_state_dict(load_file(tmp_path / "student"))
    assert torch.equal(fresh.eval()(IMAGES), network.eval()(IMAGES))


def test_tied_weights_are_written_twice(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    safetensors(network, torch.ones(1, 4), tmp_path / "student")
    assert sorted(load_file(tmp_path / "student")) == sorted(network.state_dict())


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    safetensors(nn.Linear(4, 4), torch.ones(1, 4), tmp_path / "student")
    (tmp_path / "plain").touch()
    assert (tmp_path / "student").stat().st_mode == (tmp_path / "plain").stat().st_mode
