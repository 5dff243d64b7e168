from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from tutelage.losses import response
from tutelage.match import Match
from tutelage.schemes import Offline
from tutelage.teachers import Ahead, Cautious, Committee, Ensemble, Frozen, Function, Remembered
from tutelage.types import Batch, Moment


def saying(*probs: float) -> Function:
    return Function(lambda inputs: torch.tensor([probs]).log().expand(len(inputs), -1))


def batch(size: int = 2) -> Batch:
    return Batch(
        inputs=torch.zeros(size, 3), ids=torch.arange(size), labels=torch.zeros(size, dtype=torch.int64)
    )


def moved(teacher: Ensemble, move: int) -> list[int]:
    teacher.before(Moment(step=move, total=100, length=10, move=move))
    return teacher.heard


def test_the_mean_of_softened_answers_is_worked_out_by_hand():
    # At T = 2 (.8, .2) softens to (2/3, 1/3), and (.5, .5) stays; their mean is (7/12, 5/12).
    teacher = Ensemble([saying(0.8, 0.2), saying(0.5, 0.5)], temperature=2.0)
    softened = (teacher(batch()).logits / 2).softmax(-1)
    torch.testing.assert_close(softened, torch.tensor([[7 / 12, 5 / 12]]).expand(2, -1))


def test_the_gradient_is_that_of_the_mean_divergence():
    members = [saying(0.8, 0.15, 0.05), saying(0.3, 0.3, 0.4), saying(0.1, 0.2, 0.7)]
    loss, student = response.SoftTarget(temperature=4.0), torch.randn(2, 3, requires_grad=True)
    (joint,) = torch.autograd.grad(loss(student, Ensemble(members, temperature=4.0)(batch()).logits), student)
    each = torch.stack([loss(student, member(batch()).logits) for member in members]).mean()
    (apart,) = torch.autograd.grad(each, student)
    torch.testing.assert_close(joint, apart)


def test_who_is_heard_depends_on_the_seed_and_the_move_alone():
    members = [Frozen(nn.Linear(3, 4)) for _ in range(4)]
    one, other = (Ensemble(members, drop=2, seed=seed) for seed in (5, 6))
    assert one.heard == [0, 1, 2, 3]  # outside a training
    rounds = [moved(one, move) for move in range(60)]
    assert all(len(set(heard)) == 2 for heard in rounds)
    assert rounds == [moved(Ensemble(members, drop=2, seed=5), move) for move in range(60)]
    assert rounds != [moved(other, move) for move in range(60)]
    counts = torch.tensor(rounds).flatten().bincount()
    assert counts.min() > 15  # of 30 expected


def test_those_left_out_are_not_asked_and_the_others_weigh_as_before():
    first, second, third = saying(0.9, 0.1), saying(0.6, 0.4), saying(0.2, 0.8)
    teacher = Ensemble([first, second, third], weights=[1, 2, 1], drop=1)
    move = next(move for move in range(50) if moved(teacher, move) == [0, 1])
    moved(teacher, move)
    torch.testing.assert_close(teacher(batch()).logits.exp()[0], torch.tensor([0.7, 0.3]))


def test_nobody_left_is_refused():
    with pytest.raises(ValueError, match="one is left"):
        Ensemble([saying(0.5, 0.5)], drop=1)
    with pytest.raises(ValueError, match="temperature"):
        Ensemble([saying(0.5, 0.5)], temperature=0.0)


def test_a_teacher_inside_another_hears_how_far_the_training_is():
    inner = Ensemble([saying(0.9, 0.1), saying(0.5, 0.5)], drop=1)
    student = nn.Linear(3, 2)
    (turn,) = Offline(student, Cautious(inner, least=0.1), [Match(response.SoftTarget())]).turns()
    turn.before(Moment(step=7, total=20, length=10, move=7))
    assert inner.moment is not None
    assert inner.moment.move == 7
    assert len(inner.heard) == 1


WRAPPED = {
    "frozen": lambda net: Frozen(net),
    "remembered": lambda net: Remembered(Frozen(net)),
    "ensemble": lambda net: Ensemble([Frozen(net)], mean="logits"),
    "committee": lambda net: Committee([Frozen(net)]),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_teacher_answers_about_what_it_is_shown(kind):
    teacher = WRAPPED[kind](nn.Linear(3, 4))
    other = torch.randn(2, 3)
    asked = replace(batch(), shown=other)
    expected = teacher(replace(batch(), inputs=other)).logits
    assert torch.equal(teacher(asked).logits, expected)


def test_a_teacher_ahead_of_its_student_takes_up_what_it_began():
    teacher = Ahead(Frozen(nn.Linear(3, 4)))
    asked = replace(batch(), shown=torch.randn(2, 3))
    teacher.begin(asked)
    expected = teacher.teacher(replace(batch(), inputs=asked.shown)).logits
    assert torch.equal(teacher(asked).logits, expected)
    assert not teacher._begun
