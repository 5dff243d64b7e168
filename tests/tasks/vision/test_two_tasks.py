"""Two questions about each image, and who answers them."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together

from tutelage.capture import capture
from tutelage.errors import DataError, ModelError
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.tasks.vision import two_tasks
from tutelage.tasks.vision.models import mlp_with_heads
from tutelage.tasks.vision.strokes import binned, even_edges, stroke_widths

TINY = [
    "task.data=sklearn.digits",
    "task.train=200",
    "task.validation=100",
    "task.mean=null",
    "task.std=null",
]
HEADS = {"digit": 10, "stroke": 3}


@pytest.fixture(scope="module")
def problem():
    return two_tasks(data="sklearn.digits", bins=3, validation=200, test=300)


def bars(*widths: int) -> torch.Tensor:
    held = torch.zeros(len(widths), 20, 60, dtype=torch.bool)
    for number, width in enumerate(widths):
        held[number, 8 : 8 + width] = True
    return held


def test_wider_strokes_are_wider():
    found = stroke_widths(bars(2, 4, 6, 8))
    assert found.tolist() == sorted(found.tolist())
    assert found[1] == pytest.approx(6.0, abs=0.1)  # distances 1, 2, 2, 1 at the bar's middle: 4 · 1.5
    assert stroke_widths(bars(4).mT).tolist() == stroke_widths(bars(4)).tolist()
    assert stroke_widths(bars(0)).tolist() == [0.0]
    assert stroke_widths(torch.ones(1, 5, 5, dtype=torch.bool)).isfinite().all()


def test_bins_hold_as_many_each():
    values = torch.arange(100.0)
    edges = even_edges(values, 4)
    assert binned(values, edges).bincount().tolist() == [25, 25, 25, 25]
    with pytest.raises(DataError, match="too much alike for 3 bins"):
        even_edges(torch.ones(9), 3)
    with pytest.raises(DataError, match="expected two or more"):
        even_edges(values, 1)


def test_both_labels_and_each_task_by_itself(problem):
    batch = problem.train.batch([0, 5])
    assert set(batch.labels) == {"digit", "stroke"}
    for name, part in problem.parts.items():
        again = part.train.batch([0, 5])
        assert torch.equal(again.labels, batch.labels[name])
        assert torch.equal(again.ids, batch.ids)
        assert torch.equal(again.inputs, batch.inputs)
    counts = problem.parts["stroke"].train.labels.bincount()
    assert len(counts) == problem.parts["stroke"].num_classes == 3
    assert problem.exam.heads == HEADS
    assert problem.test.batch([1]).labels["stroke"] == problem.parts["stroke"].test.batch([1]).labels


@pytest.mark.parametrize("shared", [True, False])
def test_a_network_with_heads(shared):
    network = mlp_with_heads(heads=HEADS, in_features=8, widths=[6], shared=shared)
    answer = capture(network, torch.randn(4, 8), [":output.digit", ":output.stroke"])
    assert torch.equal(torch.cat(list(answer.features.values()), 1), answer.logits)
    trunks = 1 if shared else 2
    assert sum(p.numel() for p in network.parameters()) == trunks * (8 * 6 + 6) + 7 * 13
    answer.features[":output.stroke"].sum().backward()
    moved = {name for name, held in network.named_parameters() if held.grad is not None}
    assert ("trunks.digit.hidden.0.linear.weight" in moved) == shared


@pytest.mark.parametrize(("heads", "widths"), [({}, [4]), (HEADS, []), ({"logits": 2}, [4])])
def test_a_network_without_heads_or_layers(heads, widths):
    with pytest.raises(ModelError, match="expected at least one of each"):
        mlp_with_heads(heads=heads, in_features=8, widths=widths)


def test_an_image_in_colour_has_no_strokes(monkeypatch, problem):
    colour = replace(problem.parts["digit"], network_options={"in_channels": 3})
    monkeypatch.setattr(sys.modules[two_tasks.__module__], "classification", lambda **_: colour)
    with pytest.raises(DataError, match="has images in colour"):
        two_tasks(data="anything")


@pytest.mark.slow
def test_k_parts_are_one_batch_and_two_processes_one(tmp_path: Path):
    short = ["teacher.members.digit.frozen.train.epochs=1", "teacher.members.stroke.frozen.train.epochs=1"]
    arms = ["stages.0.train.epochs=null", "stages.0.train.steps=4", "also={}"]
    dry = ["teacher.members.digit.frozen.model.dropout=0", "teacher.members.stroke.frozen.model.dropout=0"]
    same_in_parts_and_together("vision/mnist_two_tasks", [*TINY, *short, *arms, *dry], tmp_path)


@pytest.mark.slow
def test_a_run_reports_each_head(tmp_path: Path):
    recipe = load("vision/mnist_two_tasks", changes=[*TINY, "task.train=800"])
    done = run(build(recipe, "two", seeds=1), tmp_path / "run", quiet=True, cpu=True)
    for name in ("teacher", "student", "control", "two_halves"):
        held = done.results["teacher"] if name == "teacher" else done.results["outcomes"][name]
        quality = {key: each["mean"] for key, each in held["quality"].items()}
        both = (quality["digit_accuracy"] + quality["stroke_accuracy"]) / 2
        assert math.isclose(quality["mean_accuracy"], both)
        assert quality["digit_accuracy"] > 0.3
