"""Several networks that answer as one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.tasks.networks import MeanOfNetworks
from tutelage.teachers import Ensemble, Frozen
from tutelage.types import Batch


class Says(nn.Module):
    """Answers the same probabilities, in a mapping, whatever it sees."""

    def __init__(self, *probabilities: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log() + 3.0)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        return {"logits": self.logits.expand(len(rows), -1)}


def test_the_mean_of_probabilities_by_hand():
    answer = MeanOfNetworks([Says(0.9, 0.1), Says(0.5, 0.5)])(torch.zeros(2, 1))
    assert answer.exp().flatten().tolist() == pytest.approx([0.7, 0.3] * 2)


def test_it_answers_what_the_ensemble_teacher_does():
    torch.manual_seed(0)
    members, rows = [nn.Linear(4, 3) for _ in range(3)], torch.randn(5, 4)
    taught = Ensemble([Frozen(member) for member in members])(Batch(rows, torch.arange(5)))
    assert torch.allclose(MeanOfNetworks(members)(rows), taught.logits)


def test_members_must_be_there_and_agree():
    with pytest.raises(ModelError, match="was given none"):
        MeanOfNetworks([])
    with pytest.raises(ModelError, match="different shapes"):
        MeanOfNetworks([nn.Linear(4, 3), nn.Linear(4, 2)])(torch.zeros(1, 4))
