"""A loss, bound to a place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.balancing import Confident, Ramp
from tutelage.errors import ModelError, UnknownName
from tutelage.losses import Loss, feature, response
from tutelage.match import Match
from tutelage.types import Batch, Moment, Outputs

BATCH = Batch(inputs=torch.zeros(2, 3), ids=torch.arange(2))


class Gap(Loss):
    place = "logits"

    def forward(self, student, teacher):
        return (student - teacher.detach()).abs()


@pytest.mark.parametrize("place", ["logit", None])
def test_a_loss_says_where_it_looks(place):
    kind = type("Odd", (Gap,), {"place": place})
    with pytest.raises(ModelError, match=r'Odd has .*; write `place = "logits"` or "features"'):
        Match(kind())


def test_a_loss_is_a_scalar():
    said = Outputs(logits=torch.zeros(2, 3))
    with pytest.raises(ModelError, match=r"Gap gave a tensor of shape \[2, 3\]; a scalar is expected"):
        Match(Gap())(said, said, BATCH)


def test_what_is_no_loss():
    with pytest.raises(ModelError, match="expected an instance of a tutelage Loss"):
        Match(torch.nn.MSELoss())


def features(**held: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(2, 3), held)


def test_several_pairs_add_up():
    ours = features(a=torch.ones(2, 4), b=torch.full((2, 4), 2.0))
    theirs = features(x=torch.zeros(2, 4), y=torch.zeros(2, 4))
    match = Match(feature.Hint(), guided=["a", "b"], hint=["x", "y"], weight=0.5)
    assert match.name == "Hint(a, b)"
    assert match(ours, theirs, BATCH).item() == 0.5 * (1 + 4)


def test_each_pair_has_its_projector_or_all_share_one():
    ours = features(a=torch.ones(2, 4), b=torch.ones(2, 4))
    theirs = features(a=torch.zeros(2, 6), b=torch.zeros(2, 6))
    for projector, count in (("auto", 2), ("shared", 1)):
        match = Match(feature.Hint(), guided=["a", "b"], projector=projector)
        match.fit(ours, theirs)
        assert len(match.projectors) == count
        assert match(ours, theirs, BATCH).isfinite()
    uneven = features(a=torch.zeros(2, 6), b=torch.zeros(2, 7))
    with pytest.raises(ModelError, match="a projector to each"):
        Match(feature.Hint(), guided=["a", "b"], projector="shared").fit(ours, uneven)


class Learned(Loss):
    place, layouts, learns = "features", ("vectors",), True

    def __init__(self) -> None:
        super().__init__()
        self.map: nn.Module | None = None

    def fit(self, student, teacher):
        self.map = nn.Linear(student.shape[1], teacher.shape[1])

    def forward(self, student, teacher, mask=None):
        return (self.map(student) - teacher.detach()).square().mean()


def test_each_pair_has_a_loss_that_learns():
    ours = features(a=torch.ones(2, 4), b=torch.ones(2, 5))
    theirs = features(a=torch.zeros(2, 6), b=torch.zeros(2, 7))
    match = Match(Learned(), guided=["a", "b"])
    match.fit(ours, theirs)
    assert [one.map.out_features for one in match.losses] == [6, 7]
    match(ours, theirs, BATCH).backward()
    assert all(p.grad is not None for p in match.parameters())


class Joined(Loss):
    place, layouts, joins_layers = "features", ("vectors",), True

    def forward(self, student, teacher, mask=None):
        return sum(held.mean() for held in student) - 0.5 * sum(held.mean() for held in teacher)


def test_a_loss_that_joins_layers_gets_them_all():
    ours = features(a=torch.ones(2, 4), b=torch.ones(2, 5))
    theirs = features(x=torch.ones(2, 4), y=torch.ones(2, 5), z=torch.ones(2, 5))
    match = Match(Joined(), guided=["a", "b"], hint=["x", "y", "z"])
    assert match(ours, theirs, BATCH).item() == 2 - 1.5


def test_lists_of_unequal_lengths():
    with pytest.raises(ModelError, match="2 guided layers and 1 hints"):
        Match(feature.Hint(), guided=["a", "b"], hint=["x"])


def test_a_head_of_the_student_beside_the_teachers_logits():
    ours = features(head=torch.tensor([[1.0, 0.0, 0.0]] * 2))
    theirs = Outputs(torch.tensor([[2.0, 0.0, 0.0]] * 2))
    match = Match(response.LogitMatch(), guided="head")
    assert match.hints == ()
    assert match(ours, theirs, BATCH).item() == pytest.approx(1 / 2)  # ½ · 1²


def test_what_is_gated_out_stays_in_the_denominator():
    teacher = Outputs(torch.tensor([[9.0, 0.0, 0.0], [0.1, 0.0, 0.0]]))
    student = Outputs(torch.zeros(2, 3))
    whole, gated = Match(response.LogitMatch()), Match(response.LogitMatch(), gate=Confident(least=0.9))
    first = Match(response.LogitMatch())(Outputs(student.logits[:1]), Outputs(teacher.logits[:1]), BATCH)
    assert gated(student, teacher, BATCH).item() == pytest.approx(first.item() / 2)
    assert whole(student, teacher, BATCH) > gated(student, teacher, BATCH)
    masked = Batch(inputs=BATCH.inputs, ids=BATCH.ids, mask=torch.tensor([True, False]))
    assert gated(student, teacher, masked).item() == pytest.approx(first.item())
    with pytest.raises(ModelError, match="there is none"):
        Match(response.HardLabel(), gate=Confident())(student, None, BATCH)


def test_an_answer_that_was_refused_counts_for_nothing():
    refused = Outputs(torch.tensor([[9.0, 0.0, 0.0]] * 2), mask=torch.tensor([True, False]))
    whole = Outputs(refused.logits)
    match, student = Match(response.LogitMatch()), Outputs(torch.zeros(2, 3))
    assert match(student, refused, BATCH).item() == pytest.approx(match(student, whole, BATCH).item() / 2)
    labels = Batch(inputs=BATCH.inputs, ids=BATCH.ids, labels=torch.tensor([0, 0]))
    hard = Match(response.HardLabel())
    assert hard(student, refused, labels) == hard(student, whole, labels)


def test_what_is_no_gate():
    for wrong in ("right", Confident):
        with pytest.raises(ModelError, match=r"such as Right\(\)"):
            Match(response.LogitMatch(), gate=wrong)


def test_what_a_loss_refuses_is_said_with_the_name_of_the_match():
    ours, theirs = features(a=torch.ones(2, 4)), features(a=torch.ones(2, 5))
    with pytest.raises(ModelError, match=r"Hint\(a\): the student came with shape"):
        Match(feature.Hint(), guided="a", projector=None)(ours, theirs, BATCH)


def test_a_weight_that_grows():
    match = Match(response.LogitMatch(), weight=Ramp(last=2.0))
    student, teacher = Outputs(torch.zeros(2, 3)), Outputs(torch.ones(2, 3))
    for step, expected in ((0, 0.0), (50, 1.5), (100, 3.0)):
        match.begin(Moment(step=step, total=100, length=10))
        assert match(student, teacher, BATCH).item() == pytest.approx(expected)


def test_stages_are_for_features_and_alone():
    with pytest.raises(ModelError, match="stages pairs layers by itself"):
        Match(feature.Hint(), guided="a", stages="uniform")
    with pytest.raises(ModelError, match="stages pairs layers by itself"):
        Match(response.LogitMatch(), stages="last")
    with pytest.raises(UnknownName, match="uniform"):
        Match(feature.Hint(), stages="unifrom")
