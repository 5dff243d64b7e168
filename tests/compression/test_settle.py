"""Parametrised weights become plain, and a copy is settled without its original."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tutelage.compression import is_settled, settle


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight / 2


def halved() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    parametrize.register_parametrization(network[0], "weight", Half())
    return network


def test_the_answers_stay_and_the_names_become_plain() -> None:
    network, rows = halved(), torch.ones(1, 3)
    before = network(rows)
    assert not is_settled(network)
    settle(network)
    assert is_settled(network)
    assert torch.equal(network(rows), before)
    assert set(network.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_a_copy_is_settled_without_its_original() -> None:
    network, rows = halved(), torch.ones(1, 3)
    before = network(rows)
    settle(copy.deepcopy(network))
    assert not is_settled(network)
    assert torch.equal(network(rows), before)
    network(rows).sum().backward()
    assert network[0].parametrizations.weight.original.grad is not None
