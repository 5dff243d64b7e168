"""What a call of `distill` asks for, before it is run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.engine import OptimizerSettings
from tutelage.runs.results import _differences
from tutelage.runs.study_of import Wanted, study_of
from tutelage.runs.usual import RATES, read_optimizer
from tutelage.studies import Study

ROWS = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 2


def study(**arguments: Any) -> Study:
    wanted = {"teacher": nn.Linear(4, 2), "student": nn.Linear(4, 2), "train": (ROWS, LABELS), "epochs": 1}
    return study_of(Wanted.of(**wanted | arguments))


def moved_by(held: Study) -> OptimizerSettings:
    (stage,) = held.arms["student"].stages
    return stage.optimizers["student"]


def test_classes_are_those_of_a_wider_teacher():
    wide = nn.Linear(4, 3)
    held = study(teacher=wide, classes=[2, 0])
    answer = held.plan.finish([])(held.problem.train.batch([0, 1]))
    assert torch.equal(answer.logits, wide(held.problem.train.batch([0, 1]).inputs)[:, [2, 0]])


def test_examples_are_drawn_by_their_weights():
    weights = torch.arange(60.0)
    held = study(example_weights=weights, validation=(ROWS, LABELS))
    assert torch.equal(held.arms["student"].source.weights, weights.double())
    assert torch.equal(held.arms["control"].source.weights, weights.double())


def test_weights_go_with_their_rows_where_a_part_is_kept_to_validate():
    held = study(example_weights=LABELS + 1.0)
    drawn = held.arms["student"].source
    labels = drawn.batch(range(len(drawn))).labels
    assert torch.equal(drawn.weights, labels + 1.0)


@pytest.mark.parametrize("name", sorted(RATES))
def test_a_rate_that_suits_the_optimiser_where_none_was_given(name):
    assert read_optimizer(name).options["lr"] == RATES[name]
    assert read_optimizer(name, 0.123).options["lr"] == 0.123
    assert read_optimizer({name: {"lr": 0.5}}).options["lr"] == 0.5


def test_the_usual_one_is_adamw_with_its_rate():
    assert moved_by(study()).name.lower() == "adamw"
    assert moved_by(study()).options["lr"] == RATES["adamw"]


@pytest.mark.parametrize(("steps", "told"), [((30, 20), True), ((20, 20), False)])
def test_arms_that_patience_ended_after_other_steps_differ(steps, told):
    held = study(patience=2)
    found = {
        name: SimpleNamespace(arm=held.arms[name], steps=each)
        for name, each in zip(("student", "control"), steps, strict=True)
    }
    said = [each for each in _differences(held, found) if each.startswith("steps")]
    assert bool(said) == told
    if told:
        assert "the student made 30 on average and the control 20, since each ended" in said[0]
