"""Averages of weights: statistics of batch norms belong to them, and the weights of now stay."""

from __future__ import annotations

import torch
from torch import nn

from tutelage.engine.average import WeightAverage


def test_statistics_are_gathered_with_the_averages_and_put_back():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    inputs = torch.tensor([[1.0], [2.0], [3.0]])
    network[0].weight.data.fill_(1.0)
    average = WeightAverage({"student": network}, decay=0.5, show=lambda: network(inputs))
    network[0].weight.data.fill_(3.0)
    average.update()  # 2.0
    network[1].running_mean.fill_(7.0)
    with average.applied():
        assert network[0].weight.item() == 2.0
        assert network[1].running_mean.item() == 4.0  # 2 · the mean of the inputs
        assert network[1].running_var.item() == 4.0  # 2² · their variance
    assert network[0].weight.item() == 3.0
    assert network[1].running_mean.item() == 7.0
    average.settle()
    assert (network[0].weight.item(), network[1].running_mean.item()) == (2.0, 4.0)
    assert network[1].momentum == 0.1
