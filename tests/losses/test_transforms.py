"""Changes of logits before a loss compares them."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.losses import feature, response
from tutelage.losses.transforms import Standardise
from tutelage.match import Match
from tutelage.types import Batch, Outputs


def test_by_hand():
    # mean 1, sample deviation √((4 + 1 + 9)/3)
    found = Standardise(gain=2.0)(torch.tensor([[-1.0, 0.0, 4.0, 1.0]]))
    expected = 2 * torch.tensor([[-2.0, -1.0, 3.0, 0.0]]) / (14 / 3) ** 0.5
    torch.testing.assert_close(found, expected)


def test_scale_and_shift_cost_a_student_nothing():
    teacher = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    batch = Batch(inputs=teacher, ids=torch.arange(6))
    match = Match(response.SoftTarget(temperature=2.0), transform=Standardise(), weight=9.0)
    value = match(Outputs(logits=0.3 * teacher + 7), Outputs(logits=teacher), batch)
    assert value.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("rubbish", [float("nan"), float("inf")])
def test_masked_and_equal_logits_have_a_gradient(rubbish):
    logits = torch.tensor([[1.0, 1.0], [rubbish, 0.0], [2.0, 0.0]], requires_grad=True)
    found = Standardise()(logits, torch.tensor([True, False, True]))
    found.square().sum().backward()
    assert found[:2].tolist() == [[0, 0], [0, 0]]
    assert logits.grad.isfinite().all()
    assert (logits.grad[1] == 0).all()


def test_what_cannot_be():
    with pytest.raises(ValueError, match="gain came as 0"):
        Standardise(gain=0.0)
    with pytest.raises(ModelError, match="a transform is for logits"):
        Match(feature.Hint(), guided="body", transform=Standardise())


@pytest.mark.parametrize(("value", "classes"), [(0.1, 10), (3.3, 100), (0.1, 1000), (1000.1, 3)])
def test_equal_logits_become_zeros_whatever_their_mean_rounds_to(value, classes):
    logits = torch.full((1, classes), value, requires_grad=True)
    found = Standardise()(logits)
    assert (found == 0).all()
    (found * torch.arange(classes)).mean().backward()
    assert logits.grad.abs().max() <= classes


def test_a_class_that_cannot_be_stays_away():
    logits = torch.tensor([[-1.0, 0.0, -torch.inf, 4.0, 1.0]], requires_grad=True)
    found = Standardise()(logits)
    others = torch.tensor([True, True, False, True, True])
    torch.testing.assert_close(found[:, others], Standardise()(logits.detach()[:, others]))
    assert found[0, 2] == -torch.inf
    found.softmax(-1).square().sum().backward()
    assert logits.grad.isfinite().all()
