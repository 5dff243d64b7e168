"""A teacher is asked in one call, and its answers teach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import tutelage as tl

pytestmark = pytest.mark.filterwarnings("ignore::tutelage.TutelageWarning")

X = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
HOW: dict[str, Any] = {"epochs": 1, "seeds": 1, "batch_size": 30, "quiet": True, "placebo": False}


class Net(nn.Module):
    """Counts how often it is asked."""

    asked = 0

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, rows: Tensor) -> Tensor:
        Net.asked += 1
        return self.layers(rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tensors", "a loader", "arrays of float64"])
def test_answers_teach_as_the_teacher_does(kind: str, tmp_path: Any) -> None:
    data: Any = {
        "tensors": (X, Y),
        "a loader": DataLoader(TensorDataset(X, Y), batch_size=30),
        "arrays of float64": (X.double().numpy(), np.asarray(Y)),
    }[kind]
    torch.manual_seed(0)
    teacher, student = Net(8), Net(3)
    answers = tl.label(teacher, data, test=(X[:20], Y[:20]), out=tmp_path / "answers", quiet=True)
    asked = Net.asked
    again = tl.label(teacher, data, test=(X[:20], Y[:20]), out=tmp_path / "answers", quiet=True)
    assert Net.asked - asked < 8  # what is finished is read
    runs = [
        tl.distill(who, student, data, test=(X[:20], Y[:20]), out=tmp_path / f"run{number}", **HOW)
        for number, who in enumerate((teacher, answers, again))
    ]
    assert torch.equal(runs[0].student(X), runs[1].student(X))
    assert torch.equal(runs[0].student(X), runs[2].student(X))
    assert runs[0].results["teacher"]["quality"] == runs[1].results["teacher"]["quality"]


@pytest.mark.slow
def test_a_budget_chooses_the_form_and_layers_are_kept(tmp_path: Any) -> None:
    answers = tl.label(
        Net(), (X, Y), (X, Y), out=tmp_path / "answers", budget="20kB", layers=["layers.0"], quiet=True
    )
    assert list(answers.answers.layers) == ["layers.0"]
    assert sum(each.stat().st_size for each in (tmp_path / "answers").rglob("*.safetensors")) < 20_000


def test_what_cannot_be_labelled_is_refused(tmp_path: Any) -> None:
    for options, said in (
        ({"form": "dense:float9"}, "float9"),
        ({"budget": "1B"}, "budget"),
        ({"precision": "float8"}, "precision"),
        ({"device": "tpu"}, "this machine has"),
    ):
        with pytest.raises(tl.TutelageError, match=said):
            tl.label(Net(), (X, Y), (X, Y), out=tmp_path / "answers", quiet=True, **options)
    with pytest.raises(tl.TutelageError, match="is empty"):
        tl.label(Net(), (X[:0], Y[:0]), (X, Y), out=tmp_path / "answers", quiet=True)
