"""Settings, flips, the front and the scores on disk: the parts that need no run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tutelage.comparison.flips import flips
from tutelage.comparison.pareto import Spot, axis_of, front
from tutelage.comparison.settings import differing
from tutelage.runs.scores import ExampleScores, read_scores, write_scores


def test_settings_of_named_parts_and_lists_are_told_apart_by_the_ends_of_their_paths():
    one = {"stages": [{"lr": 0.1, "scheme": {"offline": {"matches": [{"loss": "A", "weight": 1}]}}}]}
    other = {"stages": [{"lr": 0.2, "scheme": {"offline": {"matches": [{"loss": "A", "weight": 2}]}}}]}
    third = {"stages": [*other["stages"], {"lr": 0.1}]}
    found = {each.path: (each.label, each.values) for each in differing([one, other, third])}
    assert found == {
        "stages.0.lr": ("0.lr", (0.1, 0.2, 0.2)),
        "stages.0.scheme.offline.matches.0.weight": ("weight", (1, 2, 2)),
        "stages.1.lr": ("1.lr", (None, None, 0.1)),
    }
    assert differing([one, one]) == []


def test_lists_of_plain_values_are_one_setting():
    (found,) = differing([{"widths": [16, 16]}, {"widths": [32]}])
    assert (found.path, found.values) == ("widths", ([16, 16], [32]))


def test_flips_go_by_the_most_of_the_seeds():
    of = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 1, 1]])
    against = torch.tensor([[0, 1, 1, 0, 1], [0, 1, 1, 1, 1], [1, 1, 1, 0, 1]])
    assert flips(of, against, torch.arange(5)) == {
        "right": [0, 3],
        "wrong": [2],
        "both": 2,
        "neither": 0,
        "undecided": 0,
    }
    half = flips(of[:2], against[:2], torch.arange(5))
    assert half is not None
    assert half["undecided"] == 2
    assert flips(of * 0.5, against.double(), torch.arange(5)) is None


def spot(text: str, cost: float, quality: float) -> Spot:
    return Spot(text, cost, quality, "primary", True)


def test_the_front_holds_what_none_beats_at_its_cost_or_less():
    spots = [spot("a", 1, 0.5), spot("b", 2, 0.4), spot("c", 2, 0.7), spot("d", 3, 0.7), spot("e", 9, 0.8)]
    assert [each.text for each in front(spots, higher_is_better=True)] == ["a", "c", "e"]
    assert [each.text for each in front(spots, higher_is_better=False)] == ["a", "b"]


@pytest.mark.parametrize(
    ("costs", "name"),
    [
        ([{"bytes": 10}, {"bytes": 40}], "weights"),
        (
            [
                {"bytes": 10, "latency_ms": {"1": {"p50": 1.0}}},
                {"bytes": 10, "latency_ms": {"1": {"p50": 2.0}}},
            ],
            "latency",
        ),
        ([{"bytes": 10, "train_seconds": 3}, {"bytes": 10, "train_seconds": 9}], "training time"),
        ([{"bytes": 10}, {"bytes": 10}], "weights"),
    ],
)
def test_quality_is_drawn_against_what_differs(costs, name):
    axis = axis_of({"rows": [{"role": "primary", "cost": cost} for cost in costs]})
    assert axis is not None
    assert axis.name.startswith(name)


@pytest.mark.parametrize(
    "values", [torch.tensor([[1.0, 0.0, 1.0]]), torch.tensor([[0.3, 2.5, -1.0]]).double()]
)
def test_scores_come_back_as_they_were_written(tmp_path: Path, values):
    told = ExampleScores(
        "accuracy", True, values.double(), torch.tensor([4]), torch.tensor([7, 8, 9]), False, 3, 0.1, True
    )
    path = write_scores(tmp_path, "student", told)
    found = read_scores(tmp_path, "student")
    assert found is not None
    for name in ("values", "seeds", "ids"):
        assert torch.equal(getattr(found, name), getattr(told, name))
    for name in ("metric", "higher_is_better", "grouped", "num_examples", "chance", "copies"):
        assert getattr(found, name) == getattr(told, name)
    assert path.stat().st_size < 600
    assert read_scores(tmp_path, "control") is None
