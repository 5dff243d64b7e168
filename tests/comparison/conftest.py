"""Folders of made-up runs, as small as a run can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.runs.scores import ExampleScores, write_scores

EXAMPLES = 200


def right(share: float, seed: int) -> Tensor:
    """Which examples are right: the first ones, but for a few that the seed draws."""
    values = (torch.arange(EXAMPLES) < share * EXAMPLES).double()
    flipped = torch.randperm(EXAMPLES, generator=torch.Generator().manual_seed(seed))[:4]
    values[flipped] = 1 - values[flipped]
    return values


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": fmean(values), "per_seed": list(values)} if values else {}


def _outcome(
    rows: Sequence[Tensor], metric: str, against: str | None, seconds: float, teacher: float, size: int
) -> dict[str, Any]:
    return {
        "arm": "student",
        "against": against,
        "steps": 60,
        "failed_seeds": [],
        "quality": {metric: _spread([float(row.mean()) for row in rows])},
        "calibration": {},
        "cost": {
            "parameters": size,
            "bytes": 4 * size,
            "latency_ms": {"1": {"p50": 0.1, "stable": True}},
            "train_seconds": seconds + teacher,
            "train_seconds_of_teacher": teacher,
        },
    }


def write_run(
    folder: Path,
    share: float = 0.8,
    *,
    control: float | None = 0.7,
    seeds: Sequence[int] = (0, 1, 2),
    recipe: dict[str, Any] | None = None,
    name: str = "vision/made_up",
    metric: str = "accuracy",
    scores: bool = True,
    size: int = 100,
    steps: int = 60,
    test: str = "t",
    own: float = 8.0,
    chance: float | None = None,
) -> Path:
    """Write the folder of a finished run whose student gets about this share right."""
    ids = torch.arange(EXAMPLES) + 1000
    shares = {"control": control, "student": share}
    found = {}
    for outcome, each in shares.items():
        if each is None:
            continue
        rows = [right(each, 10 * seed + (outcome == "control")) for seed in seeds]
        against = "control" if outcome == "student" and control is not None else None
        teacher = 20.0 if outcome == "student" else 0.0
        seconds = own if outcome == "student" else 10.0
        found[outcome] = _outcome(rows, metric, against, seconds, teacher, size) | {"steps": steps}
        if scores:
            held = ExampleScores(
                metric,
                True,
                torch.stack(rows),
                torch.tensor(list(seeds)),
                ids,
                False,
                EXAMPLES,
                chance,
                False,
            )
            write_scores(folder, outcome, held)
    results = {
        "format": 2,
        "recipe": name,
        "seeds": list(seeds),
        "looks": 1,
        "primary": "student",
        "teacher": {"quality": {metric: _spread([0.9])}, "cost": {"parameters": 9000, "bytes": 36000}},
        "outcomes": found,
        "verdict": {
            "word": "better",
            "of": "student",
            "against": "control",
            "metric": metric,
            "difference": 0.1,
        },
        "verdicts": [],
        "sanity": [],
    }
    environment = {
        "versions": {"tutelage": "0.1.0", "torch": "2.7"},
        "machine": {"processor": "a CPU", "threads": 1},
        "data": {"train": {"examples": 900, "sha256": "a"}, "test": {"examples": EXAMPLES, "sha256": test}},
    }
    mark = {
        "name": name,
        "seeds": list(seeds),
        "recipe": recipe or {"task": {"vision.classification": {"data": "made up"}}, "temperature": 2},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, held in (("results", results), ("environment", environment), ("run", mark)):
        (folder / f"{file}.json").write_text(json.dumps(held))
    return folder


@pytest.fixture(scope="session")
def a_run() -> Callable[..., Path]:
    return write_run


def with_temperature(value: float) -> dict[str, Any]:
    return {"task": {"vision.classification": {"data": "made up"}}, "temperature": value, "seeds": 3}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two runs of other temperatures, of which the second is better."""
    return [
        write_run(tmp_path / "t2", 0.75, recipe=with_temperature(2)),
        write_run(tmp_path / "t8", 0.9, recipe=with_temperature(8), own=12.0),
    ]
