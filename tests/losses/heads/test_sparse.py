"""A teacher of whom few classes are known: hand-worked numbers, and what the whole would give."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tutelage.losses import response
from tutelage.losses.heads import chunks
from tutelage.types import HeadLogits, SparseLogits

INF = math.inf
DOUBLE = torch.float64


def few(classes, probs, num_classes, tail=None, temperature=1.0) -> SparseLogits:
    scores = torch.tensor(probs, dtype=DOUBLE).log()
    tails = {} if tail is None else {temperature: torch.tensor(tail, dtype=DOUBLE).log()}
    return SparseLogits(torch.tensor(classes), scores, num_classes, tails, temperature)


def slope(student, teacher, mask=None, **options):
    student = student.detach().clone().requires_grad_()
    value = response.SoftTarget(**{"temperature": 1.0, **options})(student, teacher, mask)
    return value.detach(), torch.autograd.grad(value, student)[0]


def close(found, *expected):
    torch.testing.assert_close(found, tuple(torch.tensor(each, dtype=DOUBLE) for each in expected))


def test_a_tail_by_hand():
    # q = (½, ¼, ⅛, ⅛); p keeps class 1 with ½ and class 2 with ¼; the others have ¼, the student gives them ⅝
    student = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=DOUBLE).log()
    value = 0.5 * math.log(2) + 0.25 * math.log(2) + 0.25 * math.log(0.25 / 0.625)
    # kept: q − p; others: q (1 − t/r) = 0.6 q
    close(slope(student, few([[1, 2]], [[0.5, 0.25]], 4, [0.25])), value, [[0.3, -0.25, -0.125, 0.075]])


def test_a_sample_by_hand():
    # Σ w (log w − log q); gradient q − w, and a class that was drawn twice adds up
    student = torch.tensor([[0.5, 0.25, 0.25]], dtype=DOUBLE).log()
    value = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.25)
    close(slope(student, few([[0, 2]], [[0.75, 0.25]], 3)), value, [[-0.25, 0.25, 0.0]])
    twice = 2 * 0.25 * math.log(0.25 / 0.5) + 0.5 * math.log(0.5 / 0.25)
    close(slope(student, few([[0, 0, 1]], [[0.25, 0.25, 0.5]], 3)), twice, [[0.0, -0.25, 0.25]])


@pytest.mark.parametrize("padding", [0, 1, 3])
@pytest.mark.parametrize("tail", [[0.25], None])
def test_items_with_fewer_classes_are_padded(padding, tail):
    student = torch.tensor([[0.5, 0.25, 0.125, 0.125]], dtype=DOUBLE).log()
    probs = [0.5, 0.25] if tail else [0.75, 0.25]
    expected = slope(student, few([[1, 2]], [probs], 4, tail))
    padded = few([[padding, 1, 2, padding]], [[0.0, *probs, 0.0]], 4, tail)
    torch.testing.assert_close(slope(student, padded), expected)


def whole(logits, k, temperature):
    """The k greatest classes and what is left, of a whole answer."""
    log_probs = (logits / temperature).log_softmax(-1)
    classes = logits.topk(k).indices
    others = torch.ones_like(logits).scatter(-1, classes, 0)
    scores = logits.log_softmax(-1).gather(-1, classes)
    return SparseLogits(
        classes, scores, logits.shape[-1], {temperature: (log_probs.exp() * others).sum(-1).log()}
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_tail_groups_the_other_classes(temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 9, generator=generator, dtype=DOUBLE) for _ in "st")
    given = whole(teacher, 4, temperature)
    leaf = student.clone().requires_grad_()
    p, q = ((each / temperature).softmax(-1) for each in (teacher, leaf))

    def grouped(probs):
        kept = probs.gather(-1, given.classes)
        return torch.cat([kept, 1 - kept.sum(-1, keepdim=True)], -1)

    expected = (grouped(p) * (grouped(p).log() - grouped(q).log())).sum(-1).mean() * temperature**2
    (gradient,) = torch.autograd.grad(expected, leaf)
    found = slope(student, given, temperature=temperature)
    torch.testing.assert_close(found, (expected.detach(), gradient), rtol=1e-6, atol=1e-7)


def test_all_classes_known_is_the_whole_divergence():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 6, generator=generator, dtype=DOUBLE) for _ in "st")
    expected = slope(student, teacher)
    torch.testing.assert_close(slope(student, whole(teacher, 6, 1.0)), expected)
    scores, classes = teacher.log_softmax(-1).sort(-1)
    torch.testing.assert_close(slope(student, SparseLogits(classes, scores, 6)), expected)


@pytest.mark.parametrize("tail", [True, False], ids=["tail", "sampled"])
@pytest.mark.parametrize("size", [None, 1, 3, 7])
def test_heads_masks_and_chunks(tail, size):
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias, teacher = (
        torch.randn(shape, generator=generator, dtype=DOUBLE)
        for shape in ((2, 4, 3), (9, 3), (9,), (2, 4, 9))
    )
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
    given = whole(teacher, 4, 2.0)
    if not tail:
        given = replace(given, scores=given.scores.log_softmax(-1), tails={}, temperature=2.0)
    leaves = [each.requires_grad_() for each in (hidden, weight, bias)]
    head = HeadLogits(hidden, weight, bias, 0.7, 2.0)
    loss = response.SoftTarget(temperature=2.0, chunk_size=size)
    rows = [loss(head.whole()[at], replace(given, **{
        "classes": given.classes[at], "scores": given.scores[at],
        "tails": {t: held[at] for t, held in given.tails.items()},
    })) for at in mask.nonzero().split(1) for at in [tuple(at.mT)]]  # fmt: skip
    expected = torch.stack(rows).mean()
    bad = replace(given, scores=given.scores.masked_fill(~mask[..., None], torch.nan))
    found = loss(replace(head, hidden=hidden.masked_fill(~mask[..., None], torch.nan)), bad, mask)
    torch.testing.assert_close(found, expected)
    slopes = torch.autograd.grad(found, leaves)
    torch.testing.assert_close(slopes, torch.autograd.grad(expected, leaves))


@pytest.mark.parametrize("tail", [[0.25, 0.25], None])
def test_nothing_that_counts_is_zero(tail):
    student = torch.full((2, 4), torch.nan, dtype=DOUBLE)
    given = few([[1, 2]] * 2, [[0.5, 0.25]] * 2, 4, tail)
    value, gradient = slope(student, given, torch.zeros(2, dtype=torch.bool))
    assert value == 0
    assert (gradient == 0).all()
    scores = SparseLogits(given.classes[:0], given.scores[:0], 4)
    assert slope(student[:0], scores)[0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_student_that_is_sure_stays_finite(dtype):
    student = torch.tensor([[1e4, -1e4, 0.0, 0.0], [-1e4, 1e4, 0.0, 0.0]], dtype=dtype)
    value, gradient = slope(student, few([[0, 1]] * 2, [[0.5, 0.25]] * 2, 4, [0.25] * 2))
    assert value.isfinite()
    assert gradient.isfinite().all()
    assert (value.dtype, gradient.dtype) == (torch.float32, dtype)


def test_a_small_rest_keeps_its_digits():
    # the others have e⁻³⁰ each of the student, far below what 1 − Σ q could show in float32
    student = torch.tensor([[0.0, -30.0, -30.0]])
    value, _ = slope(student, few([[0]], [[0.5]], 3, [0.5]))
    expected = 0.5 * math.log(0.5) + 0.5 * (math.log(0.5) - (math.log(2) - 30))
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_the_gradient_is_the_slope():
    student = torch.randn(2, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for tail in ([0.25, 0.25], None):
        given = few([[1, 2]] * 2, [[0.5, 0.25]] * 2, 5, tail)
        assert torch.autograd.gradcheck(
            lambda held, given=given: response.SoftTarget(temperature=1.0)(held, given), student
        )


def test_gradient_never_reaches_the_teacher():
    given = few([[1, 2]], [[0.75, 0.25]], 4)
    given.scores.requires_grad_()
    student = torch.zeros(1, 4, dtype=DOUBLE, requires_grad=True)
    response.SoftTarget(temperature=1.0)(student, given).backward()
    assert given.scores.grad is None


def test_what_does_not_fit_is_refused():
    given = few([[1, 2]], [[0.5, 0.25]], 4, [0.25])
    with pytest.raises(ValueError, match="equal shapes are expected"):
        response.SoftTarget(temperature=1.0)(torch.zeros(1, 5), given)
    with pytest.raises(ValueError, match="asks at temperature 4"):
        response.SoftTarget(temperature=4.0)(torch.zeros(1, 4), given)


def test_chunks_of_a_tensor_are_small(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    given = few([[1, 2]] * 3, [[0.5, 0.25]] * 3, 4, [0.25] * 3)
    student = torch.tensor([[0.5, 0.25, 0.125, 0.125]] * 3, dtype=DOUBLE).log()
    one = slope(student[:1], few([[1, 2]], [[0.5, 0.25]], 4, [0.25]))
    value, gradient = slope(student, given)
    torch.testing.assert_close(value, one[0])
    torch.testing.assert_close(gradient, one[1].expand(3, 4) / 3)


@pytest.mark.parametrize("gap", [50.0, 100.0, 200.0, 1e4])
def test_the_others_of_a_very_sure_student_keep_their_gradient(gap):
    student = torch.tensor([[gap, 0.0, 0.0, 0.0, 1.0, 0.0]])
    value, gradient = slope(student, few([[0]], [[0.6]], 6, [0.4]))
    among = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0]).logsumexp(0).item()
    exact = 0.6 * math.log(0.6) + 0.4 * (math.log(0.4) - among + gap)
    assert value.item() == pytest.approx(exact, rel=1e-6)
    # kept: q − p, which is 0.4; others: q (1 − t/r) = −0.4 by their shares
    expected = [0.4, *(-0.4 * math.exp(each - among) for each in (0.0, 0.0, 0.0, 1.0, 0.0))]
    assert gradient.tolist()[0] == pytest.approx(expected, rel=1e-5)


def test_no_other_class_that_can_be_is_finite():
    student = torch.tensor([[0.0, 1.0, -INF]], requires_grad=True)
    for given in (few([[0, 1]], [[0.5, 0.5]], 3, [1e-9]), few([[0, 1, 2]], [[0.5, 0.25, 0.25]], 3, [1e-9])):
        known = student.detach().nan_to_num(neginf=0.0) if given.classes.shape[-1] == 3 else student
        value, gradient = slope(known, given)
        assert value.isfinite()
        assert gradient.isfinite().all()
