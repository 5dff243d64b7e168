"""Curriculum temperature: CTKD's learned, adversarial temperature."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.losses.response import CurriculumTarget, SoftTarget
from tutelage.types import Moment


def test_by_hand():
    q, p = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-1.0))  # logits (2, 0) and (4, 0) at T = 4
    expected = 16 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    loss = CurriculumTarget(temperature=4.0)
    found = loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[4.0, 0.0]]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_at_its_temperature_it_is_a_soft_target():
    student, teacher = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    held = CurriculumTarget(temperature=3.0)(student, teacher)
    torch.testing.assert_close(held, SoftTarget(temperature=3.0)(student, teacher))


def test_the_temperature_climbs_and_the_student_descends():
    loss = CurriculumTarget(temperature=4.0, strength=0.5)
    student, teacher = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.tensor([[4.0, 0.0]])
    loss.begin(Moment(step=100, total=100, length=10))
    assert loss.reversal == 0.5
    loss(student, teacher).backward()
    turned = loss.hardness.grad.item()
    nudge = 1e-3
    with torch.no_grad():
        before = loss(student, teacher).item()
        loss.hardness += nudge
        slope = (loss(student, teacher).item() - before) / nudge
    assert turned == pytest.approx(-0.5 * slope, rel=1e-2)


def test_the_adversary_wakes_slowly():
    loss = CurriculumTarget(rise=0.5)
    found = []
    for step in (0, 25, 50, 100):
        loss.begin(Moment(step=step, total=100, length=10))
        found.append(loss.reversal)
    assert found == pytest.approx([0.0, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("wrong", [{"temperature": 0.5}, {"highest": 3.0}, {"strength": -1.0}, {"rise": 0.0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="expected"):
        CurriculumTarget(**wrong)


def test_of_a_class_that_cannot_be_the_temperature_learns_nothing():
    student, teacher = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    loss, slopes = CurriculumTarget(), []
    loss.reversal = 1.0
    absent = [torch.cat([held, torch.full((6, 1), -torch.inf)], -1) for held in (student, teacher)]
    for ours, theirs in ((student, teacher), absent):
        loss.zero_grad()
        ours.requires_grad_()
        loss(ours, theirs).backward()
        slopes.append((loss.hardness.grad.clone(), ours.grad[:, :4]))
    torch.testing.assert_close(*slopes)
