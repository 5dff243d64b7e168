"""A loss, bound to a place."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.losses import Loss
from tutelage.match import Match
from tutelage.types import Batch, Outputs

BATCH = Batch(inputs=torch.zeros(2, 3), ids=torch.arange(2))


class Gap(Loss):
    place = "logits"

    def forward(self, student, teacher):
        return (student - teacher.detach()).abs()


@pytest.mark.parametrize("place", ["logit", None])
def test_a_loss_says_where_it_looks(place):
    kind = type("Odd", (Gap,), {"place": place})
    with pytest.raises(ModelError, match=r'Odd has .*; write `place = "logits"` or "features"'):
        Match(kind())


def test_a_loss_is_a_scalar():
    said = Outputs(logits=torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"Gap gave a tensor of shape \[2, 3\]; a scalar is expected"):
        Match(Gap())(said, said, BATCH)


def test_what_is_no_loss():
    with pytest.raises(ModelError, match="expected an instance of a tutelage Loss"):
        Match(torch.nn.MSELoss())
