"""A turn that makes its batch: items are counted afterwards, and draws depend on ids and moves alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tutelage.data import Examples, Loader, uniform
from tutelage.engine import OptimizerSettings, Runtime, TrainSettings, fit
from tutelage.types import Batch, Moment, Turn

SGD = OptimizerSettings(name="sgd", options={"lr": 0.1})


def trained(accumulate: int, *, repeat: int = 1) -> tuple[nn.Module, list[Moment]]:
    """Few of the items that a batch has count after it was made, another share in each part."""
    rows = torch.linspace(-1, 1, 60, dtype=torch.float64).reshape(20, 3)
    torch.manual_seed(0)
    network = nn.Linear(3, 1).double()
    seen: list[Moment] = []

    def makes(batch: Batch, moment: Moment) -> Batch:
        seen.append(moment)
        drawn = uniform(batch.ids, seed=moment.move, draw="keep")
        return replace(batch, inputs=batch.inputs + drawn.unsqueeze(-1), mask=drawn > 0.6)

    def terms(batch: Batch) -> dict[str, torch.Tensor]:
        kept = network(batch.inputs).square().squeeze(-1) * batch.mask
        return {"size": kept.sum() / batch.mask.sum().clamp(min=1)}

    fit(
        [Turn("student", list(network.parameters()), terms, makes=makes, repeat=repeat)],
        {"student": network},
        Loader(Examples(rows), batch_size=10, seed=3, accumulate=accumulate),
        TrainSettings(steps=6, batch_size=10, accumulate=accumulate),
        optimizers={"student": SGD},
        runtime=Runtime(cpu=True, quiet=True),
    )
    return network, seen


@pytest.mark.parametrize("repeat", [1, 2])
def test_parts_of_made_batches_equal_the_whole(repeat):
    (whole, _), (parts, _) = trained(1, repeat=repeat), trained(4, repeat=repeat)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_moves_are_numbered_over_repeats():
    assert [moment.move for moment in trained(1, repeat=2)[1]] == list(range(12))
    assert [moment.step for moment in trained(1, repeat=2)[1]] == [n // 2 + 1 for n in range(12)]
