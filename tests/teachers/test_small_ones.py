"""Virtual, cautious and callable teachers."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.losses import response
from tutelage.teachers import Cautious, Function, Virtual
from tutelage.types import UNLABELLED, Batch, Outputs


def labelled(*labels: int) -> Batch:
    return Batch(inputs=None, ids=torch.arange(len(labels)), labels=torch.tensor(labels))


def test_at_temperature_one_it_is_label_smoothing():
    classes, correct = 5, 0.8
    batch = labelled(3, 0)
    student = torch.randn(2, classes, generator=torch.Generator().manual_seed(0), requires_grad=True)
    soft = response.SoftTarget(temperature=1.0)(student, Virtual(num_classes=5, correct=0.8)(batch).logits)
    (ours,) = torch.autograd.grad(soft, student)
    smoothing = (1 - correct) * classes / (classes - 1)
    plain = torch.nn.functional.cross_entropy(student, batch.labels, label_smoothing=smoothing)
    torch.testing.assert_close(ours, torch.autograd.grad(plain, student)[0])


def test_where_there_is_no_label_there_is_no_answer():
    assert Virtual(num_classes=3)(labelled(1, UNLABELLED)).mask.tolist() == [True, False]
    with pytest.raises(ModelError, match="the batch has none"):
        Virtual(num_classes=3)(Batch(inputs=None, ids=torch.arange(1)))


@pytest.mark.parametrize(("classes", "correct"), [(1, 0.9), (4, 0.25), (4, 1.0)])
def test_virtual_teachers_that_cannot_be(classes, correct):
    with pytest.raises(ValueError, match="above that of guessing"):
        Virtual(num_classes=classes, correct=correct)


def test_a_cautious_teacher_narrows_a_mask():
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0], [0.1, 0.0]])
    held = Outputs(logits, mask=torch.tensor([True, False, True]))
    teacher = Cautious(Function(lambda _: held, takes="batch"), least=0.9)
    assert teacher(Batch(inputs=None, ids=torch.arange(3))).mask.tolist() == [True, False, False]


def test_a_cautious_teacher_needs_logits():
    teacher = Cautious(Function(lambda _: Outputs(), takes="batch"))
    with pytest.raises(ModelError, match="gave none"):
        teacher(Batch(inputs=None, ids=torch.arange(1)))
    with pytest.raises(ValueError, match="from 0 to 1"):
        Cautious(Function(lambda x: x), least=2.0)


def test_functions_that_are_none():
    with pytest.raises(ModelError, match="something to call"):
        Function(3)
    with pytest.raises(ModelError, match="'inputs' or 'batch'"):
        Function(len, takes="everything")
    with pytest.raises(ModelError, match=r"\[examples, …, classes\]"):
        Function(lambda _: torch.zeros(3, 2))(Batch(inputs=None, ids=torch.arange(2)))


def test_virtual_answers_by_shares_as_by_classes() -> None:
    labels = torch.tensor([0, 2, 1])
    shares = torch.nn.functional.one_hot(labels, 3).float()
    by_class = Virtual(num_classes=3, correct=0.8)(Batch(inputs=None, ids=torch.arange(3), labels=labels))
    found = Virtual(num_classes=3, correct=0.8)(Batch(inputs=None, ids=torch.arange(3), labels=shares))
    torch.testing.assert_close(found.logits, by_class.logits)
    mixed = torch.tensor([[0.5, 0.5, 0.0], [torch.nan, torch.nan, torch.nan]])
    held = Virtual(num_classes=3, correct=0.8)(Batch(inputs=None, ids=torch.arange(2), labels=mixed))
    torch.testing.assert_close(held.logits.exp().sum(-1), torch.ones(2))
    assert held.logits[0, 0] == held.logits[0, 1] > held.logits[0, 2]
    assert held.mask is not None
    assert held.mask.tolist() == [True, False]
