"""Teachers that are copies of the student: its average, its past."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.balancing import Ramp
from tutelage.errors import ModelError
from tutelage.teachers import Cautious, MovingAverage, PastSelf
from tutelage.types import Batch, Moment


def student() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def batch() -> Batch:
    return Batch(inputs=torch.randn(4, 2, generator=torch.Generator().manual_seed(1)), ids=torch.arange(4))


def shift(network: nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += by


@pytest.mark.parametrize("kind", [MovingAverage, PastSelf])
def test_each_student_has_its_own(kind):
    held, ours = kind(), student()
    first, second = held.beside(ours), held.beside(student())
    shift(ours, 1.0)
    first.after(Moment(step=10, total=100, length=10))
    assert not torch.equal(first(batch()).logits, second(batch()).logits)
    assert held.copied is None
    with pytest.raises(ModelError, match="stands beside none yet"):
        held(batch())


@pytest.mark.parametrize("kind", [MovingAverage, PastSelf])
def test_the_copy_is_stored_and_taken_up(kind):
    ours = student()
    first, second = kind().beside(ours), kind().beside(ours)
    shift(ours, 1.0)
    first.after(Moment(step=10, total=100, length=10))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(batch()).logits, second(batch()).logits)
    assert "copied.network.0.weight" in first.state_dict()


def test_the_average_forgets_its_start():
    ours = student()
    teacher = MovingAverage(decay=0.9).beside(ours)
    expected = ours[0].weight.detach().clone()
    for step in range(1, 30):
        shift(ours, 0.1)
        teacher.after(Moment(step=step, total=100, length=10))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * ours[0].weight.detach()
    torch.testing.assert_close(teacher.copied.network[0].weight, expected)


def test_buffers_are_the_students_own():
    ours = student()
    teacher = MovingAverage(decay=0.9).beside(ours)
    ours[1].running_mean += 3.0
    teacher.after(Moment(step=1, total=100, length=10))
    assert torch.equal(teacher.copied.network[1].running_mean, ours[1].running_mean)


def test_the_past_self_changes_between_epochs():
    ours = student()
    teacher = PastSelf(every=2).beside(ours)
    first = teacher(batch()).logits
    shift(ours, 1.0)
    for step in range(1, 20):
        teacher.after(Moment(step=step, total=100, length=10))
        assert torch.equal(teacher(batch()).logits, first)
    teacher.after(Moment(step=20, total=100, length=10))
    assert torch.equal(teacher(batch()).logits, ours.eval()(batch().inputs))


def test_its_layers_can_be_watched():
    teacher = PastSelf().beside(student())
    teacher.watch(["0"])
    assert teacher(batch()).features["0"].shape == (4, 3)


def test_a_cautious_one_around_a_follower():
    held = Cautious(PastSelf(), least=0.0)
    assert held.moves
    assert held.beside(student())(batch()).mask.all()


@pytest.mark.parametrize("wrong", [-0.1, 1.0])
def test_decays_out_of_range(wrong):
    with pytest.raises(ValueError, match="below 1 is expected"):
        MovingAverage(decay=wrong)
    with pytest.raises(ValueError, match="one epoch or more"):
        PastSelf(every=0)


def test_the_weight_of_the_past_grows_by_the_epoch_and_the_labels_have_the_rest():
    """Kim et al. 2021: 0.8 · t / T, here one epoch behind; the snapshot is that of the epoch before."""
    soft, hard = Ramp(first=0.0, last=0.8, by_epoch=True), Ramp(first=1.0, last=0.2, by_epoch=True)
    ours = student()
    teacher = PastSelf().beside(ours)
    ends, seen = {}, []
    for step in range(12):  # four epochs of three steps
        moment = Moment(step=step, total=12, length=3)
        soft.begin(moment)
        hard.begin(moment)
        seen.append(soft.now)
        assert soft.now + hard.now == pytest.approx(1.0)
        if step >= 3:
            assert torch.equal(teacher.copied.network[0].weight, ends[step // 3 - 1])
        shift(ours, 1.0)
        ends[step // 3] = ours[0].weight.detach().clone()
        teacher.after(Moment(step=step + 1, total=12, length=3))
    assert seen == pytest.approx([0.0] * 3 + [0.2] * 3 + [0.4] * 3 + [0.6] * 3)
