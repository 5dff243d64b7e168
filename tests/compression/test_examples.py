"""Calibration examples are checked before anything is made of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutelage.capture import capture
from tutelage.compression import Calibration
from tutelage.compression.examples import calibration_inputs
from tutelage.errors import ModelError
from tutelage.types import Batch


def asked(*batches: Tensor) -> Calibration:
    return Calibration(
        lambda: (Batch(rows, torch.arange(len(rows))) for rows in batches),
        lambda network, batch: capture(network, batch.inputs, ["0"]),
    )


NETWORK = nn.Sequential(nn.Linear(4, 2), nn.Dropout())


def test_no_more_examples_than_were_asked_for():
    found = calibration_inputs(NETWORK, asked(torch.ones(3, 4), torch.ones(3, 4)), count=4, name="quantise")
    assert [len(rows) for rows in found] == [3, 1]
    assert NETWORK.training


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ([], "the calibration has none"),
        (
            [torch.tensor([[1.0, 2, 3, float("nan")], [1, 2, 3, 4]])],
            "1 examples of calibration batch 0 hold NaN",
        ),
        ([torch.ones(2, 5)], "cannot be called with calibration batch 0"),
        ([torch.ones(2, 4), torch.ones(2, 3, 4)], r"batch 1 has examples of shape \[\[3, 4\]\]"),
    ],
    ids=["empty", "nan", "width", "shapes"],
)
def test_examples_that_do_not_do_are_refused(batches, said):
    with pytest.raises(ModelError, match=said):
        calibration_inputs(NETWORK, asked(*batches), count=8, name="quantise")
