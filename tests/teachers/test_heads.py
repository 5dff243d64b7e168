"""Teachers of one task each, side by side."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tutelage.errors import ModelError, UnknownName
from tutelage.losses import response
from tutelage.match import Match
from tutelage.teachers import Frozen, Heads
from tutelage.types import UNLABELLED, Batch, Outputs

BATCH = Batch(inputs=torch.randn(5, 4), ids=torch.arange(5))


def net(classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, classes))


def test_each_answers_for_its_head_and_shows_its_layers():
    digit, stroke = net(3), net(2)
    teacher = Heads({"digit": Frozen(digit), "stroke": Frozen(stroke)})
    teacher.watch([":output.stroke", "digit.0"])
    answer = teacher(BATCH)
    assert set(answer.features) == {":output.stroke", "digit.0"}
    torch.testing.assert_close(answer.features[":output.stroke"], stroke(BATCH.inputs))
    torch.testing.assert_close(answer.features["digit.0"], digit[0](BATCH.inputs))
    torch.testing.assert_close(answer.logits, torch.cat([digit(BATCH.inputs), stroke(BATCH.inputs)], -1))


@pytest.mark.parametrize("path", ["digit", ":output.digits", ":output.digit.0", "stroke"])
def test_a_path_that_is_nobodys(path):
    with pytest.raises(ModelError, match="Heads has no layers called"):
        Heads({"digit": Frozen(net(3))}).watch([path])


def test_a_layer_that_a_teacher_does_not_have():
    with pytest.raises(UnknownName, match="hidden"):
        Heads({"digit": Frozen(net(3))}).watch(["digit.hidden"])


def test_nobody():
    with pytest.raises(ValueError, match="heads of no teachers"):
        Heads({})


def test_terms_of_two_heads_read_their_own_labels():
    """Two items: log 2 for each known label of even odds, over two items."""
    said = Outputs(features={":output.a": torch.zeros(2, 2), ":output.b": torch.zeros(2, 4)})
    labels = {"a": torch.tensor([0, 1]), "b": torch.tensor([3, UNLABELLED])}
    batch = Batch(inputs=None, ids=torch.arange(2), labels=labels)
    one = Match(response.HardLabel(), guided=":output.a", labels="a")(said, None, batch)
    other = Match(response.HardLabel(), guided=":output.b", labels="b")(said, None, batch)
    assert one.item() == pytest.approx(0.6931, abs=1e-4)
    assert other.item() == pytest.approx(0.6931, abs=1e-4)  # log 4 of one item, over two


def test_labels_that_are_not_there():
    said = Outputs(features={":output.a": torch.zeros(2, 2)})
    match = Match(response.HardLabel(), guided=":output.a", labels="a")
    with pytest.raises(UnknownName, match="unknown labels 'a'"):
        match(said, None, Batch(None, torch.arange(2), labels={"b": torch.zeros(2).long()}))
    with pytest.raises(ModelError, match="labels without names; leave labels= out"):
        match(said, None, Batch(None, torch.arange(2), labels=torch.zeros(2).long()))
    with pytest.raises(ModelError, match="the batch has none"):
        match(said, None, Batch(None, torch.arange(2)))
