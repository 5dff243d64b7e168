"""What a match hands over where logits are not computed yet, or few are known."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.losses import Loss, response
from tutelage.losses.transforms import Standardise
from tutelage.match import Match
from tutelage.types import Batch, HeadLogits, Outputs, SparseLogits

BATCH = Batch(inputs=torch.zeros(2, 3), ids=torch.arange(2), labels=torch.tensor([0, 3]))


def head(seed: int) -> HeadLogits:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(shape, generator=generator) for shape in ((2, 3), (4, 3)))
    return HeadLogits(hidden, weight.requires_grad_(), scale=0.5)


HEADS = Outputs(head=head(0)), Outputs(head=head(1))
WHOLE = tuple(Outputs(logits=each.head.whole()) for each in HEADS)
FEW = Outputs(sparse=SparseLogits(torch.tensor([[1], [2]]), torch.zeros(2, 1), 4))


class Seen(response.SoftTarget):
    def forward(self, student, teacher, mask=None):
        self.seen = student, teacher
        return super().forward(student, teacher, mask)


def test_a_head_is_handed_over_as_it_is():
    match = Match(Seen())
    term = match(*HEADS, BATCH)
    student, teacher = match.loss.seen
    assert student is HEADS[0].head
    assert isinstance(teacher, HeadLogits)
    assert not teacher.weight.requires_grad
    torch.testing.assert_close(term, match(*WHOLE, BATCH))
    assert isinstance(match.loss.seen[0], torch.Tensor)


@pytest.mark.parametrize(
    "match",
    [
        Match(response.HardLabel()),
        Match(response.LogitMatch()),
        Match(response.SoftTarget(), transform=Standardise()),
        Match(response.SoftTarget(), projector=torch.nn.Linear(4, 4)),
    ],
    ids=["labels", "not-read", "transform", "projector"],
)
def test_any_loss_takes_a_head(match):
    torch.testing.assert_close(match(*HEADS, BATCH), match(*WHOLE, BATCH))


def test_logits_that_are_there_are_taken():
    match = Match(Seen())
    both = Outputs(logits=WHOLE[0].logits, head=HEADS[0].head)
    match(both, HEADS[1], BATCH)
    assert match.loss.seen[0] is both.logits


def test_few_classes_go_to_a_loss_that_reads_them():
    match = Match(response.SoftTarget(temperature=1.0))
    expected = response.SoftTarget(temperature=1.0)(WHOLE[0].logits, FEW.sparse)
    torch.testing.assert_close(match(WHOLE[0], FEW, BATCH), expected)
    torch.testing.assert_close(match(HEADS[0], FEW, BATCH), expected)


@pytest.mark.parametrize("loss", [response.ReverseSoftTarget(), response.LogitMatch()])
def test_few_classes_are_refused_by_others(loss):
    with pytest.raises(
        ModelError, match=r"gave few of them; use a loss that takes few, such as response\.SoftTarget"
    ):
        Match(loss)(WHOLE[0], FEW, BATCH)


def test_few_classes_cannot_be_transformed():
    with pytest.raises(ModelError, match="leave transform= out"):
        Match(response.SoftTarget(temperature=1.0), transform=Standardise())(WHOLE[0], FEW, BATCH)


def test_a_temperature_that_was_not_kept_names_the_term():
    with pytest.raises(ModelError, match=r"SoftTarget: the loss asks at temperature 4, and few classes"):
        Match(response.SoftTarget())(WHOLE[0], FEW, BATCH)


def test_no_logits_at_all():
    with pytest.raises(ModelError, match="needs the student's logits, and it gave no logits"):
        Match(response.SoftTarget())(Outputs(), WHOLE[1], BATCH)
    with pytest.raises(ModelError, match="needs the student's logits"):
        Match(response.SoftTarget())(FEW, WHOLE[1], BATCH)


def test_a_loss_of_the_users_own_reads_no_heads():
    assert not Loss.reads_heads


def test_who_needs_all_classes_of_the_teacher():
    few, whole = response.SoftTarget(temperature=2.0), response.Decoupled()
    assert not Match(few).needs_all_classes
    assert Match(whole).needs_all_classes
    assert Match(whole, guided="early").needs_all_classes  # a layer of the student, the teacher's logits
    assert not Match(few, guided="early").needs_all_classes
    assert not Match(response.HardLabel()).needs_all_classes
