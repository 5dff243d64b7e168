"""The divergences: worked numbers, and what holds for all distributions."""

from __future__ import annotations

import math

import beartype
import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.losses.divergences import forward_kl, jensen_shannon, reverse_kl, total_variation

DIVERGENCES = [forward_kl, reverse_kl, jensen_shannon, total_variation]
INF = math.inf

each_divergence = pytest.mark.parametrize(
    "divergence", DIVERGENCES, ids=lambda divergence: divergence.__name__
)
quickly = settings(deadline=None, max_examples=60, derandomize=True, database=None)


@st.composite
def pairs(draw, *, ruled_out: bool = False) -> tuple[Tensor, Tensor]:
    """Log-probabilities of a student and a teacher over the same classes, in float64."""
    num_classes = draw(st.integers(1, 8))
    scores = st.floats(-40, 40) | st.just(-INF) if ruled_out else st.floats(-40, 40)
    rows = st.lists(scores, min_size=num_classes, max_size=num_classes)
    student, teacher = (
        torch.tensor([draw(st.floats(-40, 40)), *draw(rows)], dtype=torch.float64).log_softmax(-1)
        for _ in range(2)
    )
    return student, teacher


def log_probs(*probs: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(probs, dtype=dtype).log()


# ---------------------------------------------------------------------------------------------- by hand


def test_each_by_hand():
    q, p = (0.2, 0.3, 0.5), (0.6, 0.3, 0.1)
    student, teacher = log_probs(*q), log_probs(*p)
    pairs_ = list(zip(q, p, strict=True))
    assert forward_kl(student, teacher).item() == pytest.approx(sum(b * math.log(b / a) for a, b in pairs_))
    assert reverse_kl(student, teacher).item() == pytest.approx(sum(a * math.log(a / b) for a, b in pairs_))
    assert total_variation(student, teacher).item() == pytest.approx(0.4)  # half of 0.4 + 0 + 0.4


@pytest.mark.parametrize("skew", [0.1, 0.5, 0.9])
def test_jensen_shannon_by_hand(skew):
    q, p = (0.2, 0.3, 0.5), (0.6, 0.3, 0.1)
    m = [skew * b + (1 - skew) * a for a, b in zip(q, p, strict=True)]
    to_teacher = sum(b * math.log(b / c) for b, c in zip(p, m, strict=True))
    to_student = sum(a * math.log(a / c) for a, c in zip(q, m, strict=True))
    value = jensen_shannon(log_probs(*q), log_probs(*p), skew=skew).item()
    assert value == pytest.approx(skew * to_teacher + (1 - skew) * to_student)


def test_jensen_shannon_tends_to_both_kls():
    student, teacher = log_probs(0.2, 0.3, 0.5), log_probs(0.6, 0.3, 0.1)
    forward, reverse = forward_kl(student, teacher).item(), reverse_kl(student, teacher).item()
    assert jensen_shannon(student, teacher, skew=1e-7).item() / 1e-7 == pytest.approx(forward, rel=1e-4)
    assert jensen_shannon(student, teacher, skew=1 - 1e-7).item() / 1e-7 == pytest.approx(reverse, rel=1e-4)


@pytest.mark.parametrize("skew", [0.0, 1.0, -0.5, 2.0, math.nan])
def test_jensen_shannon_refuses_a_skew_that_mixes_nothing(skew):
    with pytest.raises(ValueError, match="skew came as"):
        jensen_shannon(log_probs(1.0), log_probs(1.0), skew=skew)


def test_forward_kl_is_not_the_cross_entropy():
    logits = torch.randn(4, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    same = logits.log_softmax(-1)
    assert (F.cross_entropy(logits, logits.softmax(-1), reduction="none") > 1).all()
    assert (forward_kl(same, same) == 0).all()


# ---------------------------------------------------------------------------------- for all distributions


@each_divergence
@quickly
@given(pair=pairs(ruled_out=True))
def test_never_negative_and_never_nan(divergence, pair):
    assert divergence(*pair).item() >= -1e-12


@each_divergence
@quickly
@given(pair=pairs(ruled_out=True))
def test_zero_for_identical(divergence, pair):
    assert divergence(pair[0], pair[0].clone()).item() == pytest.approx(0, abs=1e-12)


@quickly
@given(pair=pairs(ruled_out=True), skew=st.floats(0.01, 0.99))
def test_jensen_shannon_is_bounded_by_the_entropy_of_its_skew(pair, skew):
    entropy = -skew * math.log(skew) - (1 - skew) * math.log1p(-skew)
    assert jensen_shannon(*pair, skew=skew).item() <= min(entropy, math.log(2)) + 1e-12


@quickly
@given(pair=pairs(ruled_out=True), skew=st.floats(0.01, 0.99))
def test_symmetries(pair, skew):
    student, teacher = pair
    swapped = jensen_shannon(teacher, student, skew=1 - skew)
    torch.testing.assert_close(jensen_shannon(student, teacher, skew=skew), swapped, atol=1e-12, rtol=1e-9)
    torch.testing.assert_close(total_variation(student, teacher), total_variation(teacher, student))
    torch.testing.assert_close(forward_kl(student, teacher), reverse_kl(teacher, student))
    torch.testing.assert_close(
        jensen_shannon(student, teacher), jensen_shannon(teacher, student), atol=1e-12, rtol=1e-9
    )


@quickly
@given(pair=pairs())
def test_total_variation_is_bounded_by_one_and_by_pinsker(pair):
    distance = total_variation(*pair).item()
    assert distance <= 1 + 1e-12
    assert distance <= math.sqrt(max(forward_kl(*pair).item(), 0) / 2) + 1e-7


@each_divergence
@quickly
@given(pair=pairs())
def test_bfloat16_is_close_to_float32(divergence, pair):
    student, teacher = (log_prob.bfloat16() for log_prob in pair)
    rounded = divergence(student, teacher)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, divergence(student.float(), teacher.float()), atol=0, rtol=0)
    # A log-probability of bfloat16 is wrong by 2^-9 of its size at most, in either place.
    slack = 0.02 * (1 + max(log_prob.abs().max().item() for log_prob in pair))
    assert rounded.item() == pytest.approx(
        divergence(*(log_prob.float() for log_prob in pair)).item(), abs=slack
    )


# ------------------------------------------------------------------------------------------- probability 0


@each_divergence
def test_a_class_without_probability_in_both_adds_nothing(divergence):
    student, teacher = log_probs(0.2, 0.8), log_probs(0.6, 0.4)
    widened = [
        torch.cat([log_prob, torch.tensor([-INF])]).requires_grad_() for log_prob in (student, teacher)
    ]
    value = divergence(*widened)
    torch.testing.assert_close(value, divergence(student, teacher))
    for gradient in torch.autograd.grad(value, widened):
        assert gradient.isfinite().all()
        assert gradient[-1] == 0


@each_divergence
def test_a_hundred_thousand_classes_without_probability_add_nothing_in_float32(divergence):
    same = torch.tensor([0.3, 0.7] + [0.0] * 100_000).log()
    assert abs(divergence(same, same).item()) < 1e-6


@pytest.mark.parametrize("skew", [0.1, 0.25, 0.3, 0.4, 0.6, 0.9])
def test_a_hundred_thousand_classes_without_probability_add_nothing_at_any_skew(skew):
    same = torch.tensor([0.3, 0.7] + [0.0] * 100_000).log()
    assert abs(jensen_shannon(same, same, skew=skew).item()) < 1e-6


@pytest.mark.parametrize(
    ("divergence", "student", "teacher", "expected"),
    [
        (forward_kl, (0.5, 0.5), (1.0, 0.0), math.log(2)),
        (forward_kl, (1.0, 0.0), (0.5, 0.5), INF),
        (reverse_kl, (1.0, 0.0), (0.5, 0.5), math.log(2)),
        (reverse_kl, (0.5, 0.5), (1.0, 0.0), INF),
        (jensen_shannon, (1.0, 0.0), (0.0, 1.0), math.log(2)),
        # the mixture is (3/4, 1/4): half of log(1 / 3/4), and a quarter of log(1/2 / 3/4) + log(1/2 / 1/4)
        (jensen_shannon, (0.5, 0.5), (1.0, 0.0), (2 * math.log(4 / 3) + math.log(2 / 3) + math.log(2)) / 4),
        (total_variation, (1.0, 0.0), (0.0, 1.0), 1.0),
    ],
)
def test_a_class_without_probability_in_one(divergence, student, teacher, expected):
    leaf = log_probs(*student).requires_grad_()
    value = divergence(leaf, log_probs(*teacher))
    assert value.item() == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert not gradient.isnan().any()


@each_divergence
def test_the_gradient_through_ruled_out_logits_is_a_number(divergence):
    ruled_out = torch.tensor([0.5, -INF, 1.0, -INF], dtype=torch.float64)
    logits = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    student = torch.where(ruled_out.isinf(), ruled_out, logits).requires_grad_()
    teacher = torch.where(ruled_out.isinf(), ruled_out, logits.flip(0))
    (gradient,) = torch.autograd.grad(
        divergence(student.log_softmax(-1), teacher.log_softmax(-1)).sum(), student
    )
    assert gradient.isfinite().all()
    assert (gradient[:, ruled_out.isinf()] == 0).all()


@each_divergence
def test_the_gradient_is_the_slope_for_both(divergence):
    generator = torch.Generator().manual_seed(0)
    logits = [torch.randn(2, 4, dtype=torch.float64, generator=generator, requires_grad=True) for _ in "qp"]
    assert torch.autograd.gradcheck(
        lambda student, teacher: divergence(student.log_softmax(-1), teacher.log_softmax(-1)), logits
    )


@each_divergence
def test_the_annotated_shapes_are_the_shapes(divergence):
    checked = jaxtyping.jaxtyped(typechecker=beartype.beartype)(divergence)
    uniform = torch.zeros(2, 3, 4).log_softmax(-1)
    assert checked(uniform, uniform).shape == (2, 3)
    with pytest.raises(jaxtyping.TypeCheckError):
        checked(uniform, uniform[:1])
