"""Noisy students: pseudo-labels above a confidence, and rounds in a recipe; no scheme of their own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tutelage.balancing import Confident
from tutelage.losses import response
from tutelage.match import Match
from tutelage.recipes import build, load
from tutelage.schemes import Offline
from tutelage.studies.compared import differences
from tutelage.teachers import Frozen, Function
from tutelage.types import UNLABELLED, Batch

TERMS = "[{loss: response.HardLabel}, {loss: response.HardTeacher, gate: {confident: {least: 0.9}}}]"
TRAIN = (
    "optimizers: {student: {sgd: {lr: 0.05}}}, "
    "train: {steps: 5, batch_size: 23, augment: {jitter: 1}, teacher_sees: plain}"
)
FIRST = f"{{scheme: alone, data: labelled, {TRAIN}}}"
NEXT = f"{{scheme: {{offline: {{matches: {TERMS}}}}}, teacher: before, afresh: [student], {TRAIN}}}"
CHANGES = [f"stages=[{FIRST}, {NEXT}]", "teacher=null", "control={}"]


def terms(least: float = 0.9) -> list[Match]:
    return [Match(response.HardLabel()), Match(response.HardTeacher(), gate=Confident(least=least))]


def test_pseudo_labels_by_hand():
    """Three examples: a label and a sure teacher, no label and a sure one, no label and an unsure one."""
    sure = [math.log(98), 0.0, 0.0]  # 98 % for the first class
    answers = torch.tensor([sure, sure, [0.1, 0.0, 0.0]])
    student = nn.Linear(3, 3)
    with torch.no_grad():
        student.weight.zero_()
        student.bias.copy_(torch.tensor([0.0, math.log(2), 0.0]))  # 1/4, 1/2, 1/4
    held = Offline(student, Function(lambda inputs: answers[: len(inputs)]), terms())
    batch = Batch(torch.zeros(3, 3), torch.arange(3), torch.tensor([1, UNLABELLED, UNLABELLED]))
    found = held.turns()[0].terms(batch)
    assert found["HardLabel"].item() == pytest.approx(math.log(2) / 3)
    assert found["HardTeacher"].item() == pytest.approx(2 * math.log(4) / 3)


def test_an_unlabelled_example_below_the_threshold_counts_for_nothing():
    held = Offline(nn.Linear(3, 3), Frozen(nn.Linear(3, 3)), terms(least=1.0))
    batch = Batch(torch.randn(4, 3), torch.arange(4), torch.full((4,), UNLABELLED))
    sum(held.turns()[0].terms(batch).values()).backward()
    assert all(not p.grad.any() for p in held.student.parameters())


def test_rounds_in_a_recipe():
    study = build(load("vision/digits", changes=CHANGES), "rounds")
    first, second = study.arms["student"].stages
    assert study.teacher is None
    assert len(first.data) < len(study.arms["student"].source)
    assert int((first.data.labels == UNLABELLED).sum()) == 0
    assert (second.data, second.teacher, second.afresh) == (None, "before", ("student",))
    alone = study.arms["control"].stages[-1]
    assert [term.text for term in alone.declared.terms] == [second.declared.terms[0].text]
    assert not any("view" in said for said in differences(study, "student", "control"))


def test_the_student_is_shown_changed_images_and_the_teacher_plain_ones():
    study = build(load("vision/digits", changes=CHANGES), "rounds")
    second = study.arms["student"].stages[1]
    batch = study.arms["student"].source.batch(range(8))
    shown = second.transform(batch, 3)
    assert torch.equal(shown.shown, batch.inputs)
    assert not torch.equal(shown.inputs, batch.inputs)
