"""What a run says unasked about terms that hardly count, on real digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import tutelage as tl
from tutelage.errors import TutelageWarning
from tutelage.losses import relation, response
from tutelage.match import Match


def convnet(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8), torch.tensor(labels)


@pytest.fixture(scope="module")
def teacher(digits) -> nn.Module:
    torch.manual_seed(0)
    network, (images, labels) = convnet(16), digits
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images[:1000]), labels[:1000]).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize(
    ("match", "said"),
    [
        (
            Match(response.ProbabilityMatch(temperature=20.0)),
            "ProbabilityMatch is inert beside HardLabel",
        ),
        (
            Match(relation.SolutionFlow(), guided=["1", "3"]),
            r"HardLabel is inert beside SolutionFlow\(1, 3\), or SolutionFlow\(1, 3\) drowns it",
        ),
    ],
    ids=["inert", "drowning"],
)
@pytest.mark.slow
def test_a_run_names_a_term_that_is_inert_or_drowns_the_rest(match, said, digits, teacher, tmp_path: Path):
    images, labels = digits
    with pytest.warns(TutelageWarning, match=said):
        run = tl.distill(
            teacher,
            lambda: convnet(16),
            (images[:1000], labels[:1000]),
            (images[1000:1200], labels[1000:1200]),
            matches=[match, response.HardLabel()],
            epochs=1,
            batch_size=50,
            seeds=1,
            control=False,
            out=tmp_path / "run",
            quiet=True,
        )
    lines = (run.out / "seed0" / "student" / "stage0" / "history.jsonl").read_text().splitlines()
    (record,) = (json.loads(line) for line in lines if "shares" in line)
    assert sum(record["shares"].values()) == pytest.approx(1)
    assert set(record["shares"]) == set(record["weights"]) == set(record["terms"])
