"""Networks that teach themselves by recipes alone: past selves, generations, the teacher-free forms."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together

from tutelage.recipes import build, load
from tutelage.schemes import Offline
from tutelage.teachers import PastSelf, Virtual

DIGITS = [
    "task.data=sklearn.digits",
    "task.validation=0.2",
    "task.train=null",
    "task.mean=null",
    "task.std=null",
    "student.model={mlp: {widths: [8]}}",
]
NAMES = {
    "vision/cifar10_ps_kd": ["task.size=8", "stages.0.train.augment={}"],
    "vision/mnist_born_again": [],
    "vision/mnist_teacher_free": [],
}


def few_steps(name: str) -> list[str]:
    changes = [*DIGITS, *NAMES[name]]
    for number in range(len(load(name).stages)):
        changes += [
            f"stages.{number}.train.epochs=null",
            f"stages.{number}.train.steps=4",
            f"stages.{number}.optimizers.student={{sgd: {{lr: 0.05}}}}",
        ]
    return changes


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_parts_and_processes_leave_the_same_weights(name: str, tmp_path: Path):
    also = ["also={}"] if name.endswith("teacher_free") else []
    same_in_parts_and_together(name, [*few_steps(name), *also], tmp_path)


def test_each_generation_has_a_network_and_a_control_of_its_own():
    study = build(load("vision/mnist_born_again", changes=DIGITS), "born again")
    assert study.teacher is None
    draws = [[stage.draws for _, stage in arm.trainings] for arm in study.arms.values()]
    assert draws == [[{}, {"student": 1}, {"student": 2}, {"student": 3}]] * 2
    assert [stage.teacher for _, stage in study.first.trainings] == ["plan", "before", "before", "before"]
    assert study.outcomes["generation0"].against is None
    assert study.outcomes["ensemble"].members == [("student", 1), ("student", 2), ("student", 3)]


def test_past_selves_and_virtual_teachers_are_asked_by_offline():
    for name, kind in (("vision/cifar10_ps_kd", PastSelf), ("vision/mnist_teacher_free", Virtual)):
        study = build(load(name, changes=[*DIGITS, *NAMES[name]]), name)
        (_, stage), *_ = study.first.trainings
        scheme = stage.scheme({"student": next(iter(study.first.networks.values()))()}, study.plan.finish([]))
        assert isinstance(scheme, Offline)
        assert isinstance(scheme.teacher, kind)


def test_the_virtual_teachers_term_is_hinton_s_by_hand():
    """Tf-KD reg at T = 20: its softmax of log(0.99) and log(0.01 / 9) at 20 is 0.126 against 0.097."""
    study = build(load("vision/mnist_teacher_free", changes=DIGITS), "teacher free")
    (_, stage), *_ = study.first.trainings
    network = next(iter(study.first.networks.values()))()
    scheme = stage.scheme({"student": network}, study.plan.finish([]))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    batch = study.first.source.batch([0])
    scheme.prepare(batch)
    terms = scheme.turns()[0].terms(batch)
    odds = (0.99 / (0.01 / 9)) ** (1 / 20)
    right, other = odds / (odds + 9), 1 / (odds + 9)
    entropy = right * torch.tensor(right).log() + 9 * other * torch.tensor(other).log()
    expected = 0.5 * 20**2 * (entropy + torch.tensor(10.0).log())
    assert terms["SoftTarget"].item() == pytest.approx(expected.item(), rel=1e-4)
