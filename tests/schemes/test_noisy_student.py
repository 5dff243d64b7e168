"""A noisy student: who sees what, pseudo-labels above a threshold, rounds in a recipe, a run on digits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from carrying import same_in_parts_and_together
from torch import nn

from tutelage.balancing import Confident
from tutelage.errors import ModelError, RecipeError
from tutelage.losses import response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.schemes import NoisyStudent
from tutelage.studies.compared import differences
from tutelage.teachers import Frozen, Function, MovingAverage
from tutelage.types import UNLABELLED, Batch, Moment

RECIPE = "vision/digits"
ROUND = (
    "{noisy_student: {noise: {jitter: 1}, matches: [{loss: response.HardLabel}, "
    "{loss: response.HardTeacher, gate: {confident: {least: 0.9}}}]}}"
)
SGD = "{student: {sgd: {lr: 0.05, momentum: 0.9}}}"
TRAIN = f"optimizers: {SGD}, train: {{steps: 5, batch_size: 23}}"
FIRST = f"{{scheme: alone, data: labelled, {TRAIN}}}"
NEXT = f"{{scheme: {ROUND}, teacher: before, afresh: [student], {TRAIN}}}"
CHANGES = [f"stages=[{FIRST}, {NEXT}]", "teacher=null", "control={}"]


def moved(settings: Any) -> Any:
    """A change that adds the view's number, times `far`."""
    return lambda batch, view: replace(batch, inputs=batch.inputs + settings["far"] * (view + 1))


def pseudo(least: float = 0.9) -> Match:
    return Match(response.HardTeacher(), gate=Confident(least=least))


def hard() -> Match:
    return Match(response.HardLabel())


def scheme(*matches: Match, student: nn.Module | None = None, teacher: Any = None) -> NoisyStudent:
    torch.manual_seed(0)
    student = student or nn.Linear(3, 3)
    return NoisyStudent(student, teacher, matches or [hard()], moved, noise={"far": 2.0})


def test_pseudo_labels_by_hand():
    """Three examples: a label and a sure teacher, no label and a sure one, no label and an unsure one."""
    sure = [math.log(98), 0.0, 0.0]  # 98 % for the first class
    answers = torch.tensor([sure, sure, [0.1, 0.0, 0.0]])
    student = nn.Linear(3, 3)
    with torch.no_grad():
        student.weight.zero_()
        student.bias.copy_(torch.tensor([0.0, math.log(2), 0.0]))  # 1/4, 1/2, 1/4
    held = scheme(hard(), pseudo(), student=student, teacher=Function(lambda inputs: answers[: len(inputs)]))
    batch = Batch(torch.zeros(3, 3), torch.arange(3), torch.tensor([1, UNLABELLED, UNLABELLED]))
    terms = held.turns()[0].terms(batch)
    assert terms["HardLabel"].item() == pytest.approx(math.log(2) / 3)
    assert terms["HardTeacher"].item() == pytest.approx(2 * math.log(4) / 3)


def test_an_unlabelled_example_below_the_threshold_counts_for_nothing():
    held = scheme(hard(), pseudo(least=1.0), teacher=Frozen(nn.Linear(3, 3)))
    batch = Batch(torch.randn(4, 3), torch.arange(4), torch.full((4,), UNLABELLED))
    sum(held.turns()[0].terms(batch).values()).backward()
    assert all(not p.grad.any() for p in held.student.parameters())


def test_the_student_sees_a_changed_view_and_the_teacher_the_batch_as_it_is():
    seen: dict[str, torch.Tensor] = {}
    teacher = Function(lambda inputs: seen.setdefault("teacher", inputs))
    student = nn.Linear(3, 3)
    student.register_forward_pre_hook(lambda _, args: seen.update(student=args[0]))
    (turn,) = scheme(Match(response.SoftTarget()), student=student, teacher=teacher).turns()
    batch = Batch(torch.zeros(2, 3), torch.arange(2))
    for step in (0, 4):
        turn.before(Moment(step, 10, 10))
        turn.terms(batch)
        assert not seen["teacher"].any()
        assert bool((seen["student"] == 2.0 * (step + 1)).all())


def test_an_average_of_the_student_teaches_it_to_be_consistent():
    held = scheme(Match(response.SoftTarget()), teacher=MovingAverage(decay=0.9))
    held.prepare(Batch(torch.zeros(2, 3), torch.arange(2)))
    assert held.turns()[0].terms(Batch(torch.randn(4, 3), torch.arange(4)))["SoftTarget"] > 0
    assert "teacher" in held.modules


def test_what_is_refused():
    with pytest.raises(ModelError, match="no noise, without which it is Offline"):
        NoisyStudent(nn.Linear(3, 3), None, [hard()], moved, noise={})
    rows = load(RECIPE, changes=["task={tabular.classification: {data: sklearn.wine}}", *CHANGES])
    with pytest.raises(RecipeError, match="noisy_student needs the setting augment"):
        build(rows, "no views")


def test_rounds_in_a_recipe():
    study = build(load(RECIPE, changes=CHANGES), "rounds")
    first, second = study.arms["student"].stages
    assert study.teacher is None
    assert len(first.data) < len(study.arms["student"].source)
    assert int((first.data.labels == UNLABELLED).sum()) == 0
    assert (second.data, second.teacher, second.afresh) == (None, "before", ("student",))
    alone = study.arms["control"].stages[-1]
    assert [term.text for term in alone.declared.terms] == [second.declared.terms[0].text]
    assert not any("noise" in said for said in differences(study, "student", "control"))


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    same_in_parts_and_together(RECIPE, CHANGES, tmp_path)


@pytest.mark.slow
def test_a_run_on_digits(tmp_path: Path):
    longer = [change.replace("steps: 5", "steps: 150") for change in CHANGES]
    done = run(build(load(RECIPE, changes=longer), "noisy", seeds=2), tmp_path / "run", quiet=True, cpu=True)
    held = json.loads((done.out / "results.json").read_text())
    assert held["student"]["quality"]["accuracy"]["mean"] > 0.7
    assert held["teacher"] is None
