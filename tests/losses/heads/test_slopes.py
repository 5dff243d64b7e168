"""Divergences with their gradient written out: the value of `divergences`, and what torch makes of them."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tutelage.losses import divergences
from tutelage.losses.heads import slopes

PAIRS = {
    "forward": (slopes.forward_kl_, divergences.forward_kl),
    "reverse": (slopes.reverse_kl_, divergences.reverse_kl),
    "jensen": (
        partial(slopes.jensen_shannon_, skew=0.3),
        partial(divergences.jensen_shannon, skew=0.3),
    ),
    "variation": (slopes.total_variation_, divergences.total_variation),
}


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


def log_probs(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).log_softmax(-1)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_they_are_the_divergences_and_their_gradients(pair, scale):
    written, plain = pair
    student, teacher = log_probs(5, 6, scale=scale), log_probs(5, 6, seed=1, scale=scale)
    expected = slopes.differentiate(plain, student.clone(), teacher.clone())
    torch.testing.assert_close(written(student, teacher), expected)


def test_differentiate_is_autograd(pair):
    logits, teacher = log_probs(5, 6).add(3).requires_grad_(), log_probs(5, 6, seed=1)
    value, gradient = slopes.differentiate(pair[1], logits.detach().log_softmax(-1), teacher)
    expected = pair[1](logits.log_softmax(-1), teacher)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), logits)[0])
    assert not value.requires_grad


def test_equal_rows_are_the_minimum(pair):
    teacher = log_probs(5, 6)
    value, gradient = pair[0](teacher.clone(), teacher.clone())
    torch.testing.assert_close(value, torch.zeros(5, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(gradient, torch.zeros(5, 6, dtype=torch.float64), atol=1e-14, rtol=0)


def test_they_use_the_memory_they_are_given(pair):
    student, teacher = log_probs(5, 6), log_probs(5, 6, seed=1)
    _, gradient = pair[0](student, teacher)
    assert gradient.data_ptr() in (student.data_ptr(), teacher.data_ptr())


def test_a_class_of_no_probability(pair):
    student, teacher = torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.tensor([[0.25, 0.75, 0.0]]).log()
    short = [each[:, :2].clone() for each in (student, teacher)]
    value, gradient = pair[0](student, teacher)
    expected, slope = pair[0](*short)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, torch.cat([slope, torch.zeros(1, 1)], -1))


def test_a_skewed_kl_by_hand():
    # m = (.5, .5); ½ log(½/½) twice would be 0, so the teacher is (¾, ¼): m = ½ (¾, ¼) + ½ (¼, ¾)
    student, teacher = (
        torch.tensor([each], dtype=torch.float64).log() for each in ([0.25, 0.75], [0.75, 0.25])
    )
    value, gradient = slopes.skewed_kl_(student, teacher, skew=0.5)
    torch.testing.assert_close(value.item(), 0.75 * 0.405465108108164 - 0.25 * 0.693147180559945)
    # u = ½ · (3/16) / ½ = 3/16 for both; q Σ u − u = (3/32 − 6/32, 9/32 − 6/32)
    torch.testing.assert_close(gradient, torch.tensor([[-3 / 32, 3 / 32]], dtype=torch.float64))


def test_probabilities_that_vanish_in_float32():
    student, teacher = torch.tensor([[0.0, -300.0, -200.0]]), torch.tensor([[-300.0, -100.0, -1e-7]])
    for slope in (partial(slopes.jensen_shannon_, skew=0.1), partial(slopes.skewed_kl_, skew=0.1)):
        value, gradient = slope(student.clone(), teacher.clone())
        assert value.isfinite().all()
        assert gradient.isfinite().all()
