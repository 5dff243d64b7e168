"""Logits computed in chunks: the value and the gradient of those that are all there, for every divergence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from tutelage.losses import Loss, response
from tutelage.losses.heads import chunks
from tutelage.losses.heads.compare import compare_heads
from tutelage.losses.heads.slopes import forward_kl_
from tutelage.losses.softened import Softened
from tutelage.types import UNLABELLED, HeadLogits, SparseLogits

ITEMS, LENGTH, CLASSES = 3, 4, 7
LOSSES = {
    "forward": response.SoftTarget,
    "reverse": response.ReverseSoftTarget,
    "jensen": response.JensenShannonTarget,
    "jensen-0.1": lambda **options: response.JensenShannonTarget(skew=0.1, **options),
    "skewed": response.SkewedSoftTarget,
    "skewed-0": lambda **options: response.SkewedSoftTarget(skew=0.0, **options),
    "variation": response.TotalVariationTarget,
    "probability": response.ProbabilityMatch,
}
SMALL, LOOSE = {"rtol": 1e-9, "atol": 1e-12}, {"rtol": 1e-4, "atol": 1e-5}
MASK = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)


@pytest.fixture(params=LOSSES)
def kind(request):
    return LOSSES[request.param]


def head(width=4, *, seed=0, dtype=torch.float64, bias=True, classes=CLASSES, **form) -> HeadLogits:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(ITEMS, LENGTH, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    shift = torch.randn(classes, generator=generator, dtype=torch.float64) if bias else None
    made = HeadLogits(hidden, weight, shift, **form)
    shift = None if shift is None else shift.to(dtype)
    return replace(made, hidden=hidden.to(dtype), weight=weight.to(dtype), bias=shift)


def run(loss, student, teacher, mask, *, whole=False):
    """The value, and the gradients of all that the student's head is made of."""
    held = [student.hidden, student.weight, *([] if student.bias is None else [student.bias])]
    leaves = [each.detach().clone().requires_grad_() for each in held]
    ours = replace(student, hidden=leaves[0], weight=leaves[1], bias=leaves[2] if leaves[2:] else None)
    if whole:
        ours, teacher = ours.whole(), teacher.whole() if isinstance(teacher, HeadLogits) else teacher
    value = loss(ours, teacher, mask)
    return value.detach(), *torch.autograd.grad(3 * value, leaves)


@pytest.mark.parametrize("size", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("mask", [None, MASK, MASK[:, 0]], ids=["all", "positions", "examples"])
def test_any_chunks_and_masks(kind, size, mask):
    student, teacher = head(), head(3, seed=1)
    found = run(kind(temperature=2.0, chunk_size=size), student, teacher, mask)
    torch.testing.assert_close(found, run(kind(temperature=2.0), student, teacher, mask, whole=True), **SMALL)


@pytest.mark.parametrize(
    "temperature", [3.0, *(pytest.param(held, marks=pytest.mark.slow) for held in (0.5, 1.0))]
)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"cap": 2.0}, {"scale": 0.3}),
        ({"scale": 1.7, "cap": 1.5}, {"cap": 3.0}),
        ({"scale": 0.0}, {}),
    ],
)
def test_any_form_of_each_side(kind, temperature, bias, ours, theirs):
    student, teacher = head(bias=bias, **ours), head(3, seed=1, bias=not bias, **theirs)
    found = run(kind(temperature=temperature, chunk_size=5), student, teacher, MASK)
    expected = run(kind(temperature=temperature), student, teacher, MASK, whole=True)
    torch.testing.assert_close(found, expected, **SMALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("cap", [None, 2.0])
def test_no_less_exact_than_whole_logits(kind, dtype, cap):
    rounded = [head(width, seed=seed, dtype=dtype, cap=cap) for width, seed in ((64, 0), (32, 1))]
    rounded = [replace(each, weight=each.weight / 8) for each in rounded]
    exact = [
        replace(e, hidden=e.hidden.double(), weight=e.weight.double(), bias=e.bias.double()) for e in rounded
    ]
    truth = run(kind(temperature=2.0), *exact, MASK, whole=True)
    plain = run(kind(temperature=2.0), *rounded, MASK, whole=True)
    found = run(kind(temperature=2.0, chunk_size=3), *rounded, MASK)
    epsilon = max(torch.finfo(dtype).eps / 16, 1e-6)  # a plain value is exact by chance now and then
    for ours, theirs, true in zip(found, plain, truth, strict=True):
        assert ours.dtype == theirs.dtype
        assert gap(ours, true) <= 2 * gap(theirs, true) + epsilon


def gap(found, true):
    return ((found.double() - true).norm() / true.norm()).item()


def test_a_side_may_be_logits(kind):
    student, teacher = head(cap=2.0), head(3, seed=1)
    expected = run(kind(temperature=2.0), student, teacher, MASK, whole=True)
    loss = kind(temperature=2.0, chunk_size=5)
    torch.testing.assert_close(run(loss, student, teacher.whole(), MASK), expected, **SMALL)
    logits = student.whole().requires_grad_()
    value = loss(logits, teacher, MASK)
    plain = loss(logits, teacher.whole(), MASK)
    torch.testing.assert_close(value, plain, **SMALL)
    torch.testing.assert_close(
        torch.autograd.grad(value, logits), torch.autograd.grad(plain, logits), **SMALL
    )


def test_masked_items_are_not_looked_at(kind):
    student, teacher = head(), head(3, seed=1)
    expected = run(kind(), student, teacher, MASK)
    for rubbish in (float("nan"), float("inf")):
        bad = [
            replace(each, hidden=each.hidden.masked_fill(~MASK[..., None], rubbish))
            for each in (student, teacher)
        ]
        torch.testing.assert_close(run(kind(), *bad, MASK), expected, rtol=0, atol=0)
    assert (expected[1][~MASK] == 0).all()


@pytest.mark.parametrize("logits", [True, False], ids=["logits", "head"])
def test_nothing_that_counts_is_zero(kind, logits):
    student = head()
    student = replace(student, hidden=student.hidden * torch.nan)
    value, *gradients = run(kind(), student, head(3, seed=1), torch.zeros_like(MASK))
    assert value == 0
    assert all((each == 0).all() for each in gradients)
    empty = [replace(each, hidden=each.hidden[:0]) for each in (head(), head(3, seed=1))]
    for mask in (None, MASK[:0]):
        value, *gradients = run(kind(), empty[0], empty[1].whole() if logits else empty[1], mask)
        assert value == 0
        assert all((each == 0).all() for each in gradients)


def test_classes_that_a_teacher_rules_out():
    student, teacher = head(), head(3, seed=1).whole()
    teacher[..., 2] = -torch.inf
    for kind in LOSSES.values():
        if kind is response.ReverseSoftTarget:
            continue
        expected = run(kind(), student, teacher, MASK, whole=True)
        torch.testing.assert_close(run(kind(), student, teacher, MASK), expected, **SMALL)
        assert all(each.isfinite().all() for each in expected)
    assert run(response.ReverseSoftTarget(), student, teacher, MASK)[0] == torch.inf


def test_classes_that_both_rule_out(kind):
    sides = head(), head(3, seed=1)
    sides = [replace(each, bias=each.bias.index_fill(0, torch.tensor([2]), -torch.inf)) for each in sides]
    found, expected = run(kind(), *sides, MASK), run(kind(), *sides, MASK, whole=True)
    assert all(each.isfinite().all() for each in found)
    torch.testing.assert_close(found, expected, **SMALL)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_extreme_logits_give_finite_numbers(kind, scale):
    student, teacher = head(dtype=torch.float32, scale=scale), head(3, seed=1, dtype=torch.float32, scale=1e4)
    found = run(kind(), student, teacher, None)
    assert all(each.isfinite().all() for each in found)


def test_the_gradient_is_the_slope(kind):
    student, teacher = head(cap=2.0, scale=1.3), head(3, seed=1)
    leaves = [each.requires_grad_() for each in (student.hidden, student.weight, student.bias)]

    def value(hidden, weight, bias):
        ours = replace(student, hidden=hidden, weight=weight, bias=bias)
        return kind(temperature=2.0, chunk_size=5)(ours, teacher, MASK)

    assert torch.autograd.gradcheck(value, leaves)


def test_gradient_goes_where_it_is_wanted_and_never_to_the_teacher(kind):
    student, teacher = head(), head(3, seed=1)
    teacher = replace(teacher, weight=teacher.weight.requires_grad_(), hidden=teacher.hidden.requires_grad_())
    student = replace(student, hidden=student.hidden.requires_grad_())
    value = kind()(student, teacher)
    value.backward()
    assert student.hidden.grad is not None
    assert (student.weight.grad, teacher.weight.grad, teacher.hidden.grad) == (None, None, None)
    with torch.no_grad():
        torch.testing.assert_close(kind()(student, teacher), value.detach())


def test_a_frozen_weight_costs_no_product(monkeypatch):
    monkeypatch.setattr(
        chunks, "_zeros", lambda held, number: torch.zeros_like(held) if number == 0 else 1 / 0
    )
    student = head(bias=False)
    hidden = student.hidden.requires_grad_()
    response.SoftTarget()(replace(student, hidden=hidden), head(3, seed=1)).backward()
    assert hidden.grad is not None


def test_there_is_no_second_derivative():
    student = head()
    hidden = student.hidden.requires_grad_()
    value = response.SoftTarget()(student, head(3, seed=1))
    (slope,) = torch.autograd.grad(value, hidden, create_graph=True)
    with pytest.raises(NotImplementedError, match="this loss has a first one only"):
        slope.sum().backward()


def test_micro_batches_add_up_by_their_share_of_the_count(kind):
    student, teacher = head(), head(3, seed=1)
    whole = run(kind(chunk_size=2), student, teacher, MASK)
    total, weight = 0.0, torch.zeros_like(student.weight)
    for part in (slice(0, 1), slice(1, 3)):
        ours, theirs = (replace(each, hidden=each.hidden[part]) for each in (student, teacher))
        value, _, gradient, _ = run(kind(chunk_size=2), ours, theirs, MASK[part])
        share = MASK[part].sum() / MASK.sum()
        total, weight = total + share * value, weight + share * gradient
    torch.testing.assert_close((total, weight), (whole[0], whole[2]))


def test_autocast_multiplies_as_a_linear_layer_would():
    student, teacher = head(64, dtype=torch.float32), head(32, seed=1, dtype=torch.float32)
    seen = []

    class Seen(response.SoftTarget):
        def slope(self, student, teacher):
            seen.append((student.dtype, torch.is_autocast_enabled("cpu")))
            return super().slope(student, teacher)

    with torch.autocast("cpu", torch.bfloat16):
        expected = run(response.SoftTarget(), student, teacher, MASK, whole=True)
        found = run(Seen(chunk_size=5), student, teacher, MASK)
    assert seen == [(torch.float32, False)]
    assert [each.dtype for each in found] == [torch.float32] * 4
    assert abs(found[0] - run(response.SoftTarget(), student, teacher, MASK)[0]) > 1e-5
    torch.testing.assert_close(found, expected, rtol=3e-2, atol=3e-2)


def test_autocast_leaves_float64():
    student, teacher = head(), head(3, seed=1)
    expected = run(response.SoftTarget(), student, teacher, MASK)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(
            run(response.SoftTarget(), student, teacher, MASK), expected, rtol=0, atol=0
        )


def test_a_student_and_a_teacher_of_unequal_dtypes(kind):
    student, teacher = head(dtype=torch.float32), head(3, seed=1)
    expected = run(kind(), student, teacher, MASK, whole=True)
    torch.testing.assert_close(run(kind(), student, teacher, MASK), expected, **LOOSE)


def test_a_vocabulary_is_cut_and_never_padded():
    student, teacher = head(classes=9), head(3, seed=1)
    cut = replace(student, weight=student.weight[:7], bias=student.bias[:7])
    expected = run(response.SoftTarget(temperature=1.0), cut, teacher, MASK)

    def loss(ours, theirs, mask):
        return compare_heads(ours, theirs, forward_kl_, mask=mask, vocabulary=7)

    for other in (teacher, teacher.whole(), F.pad(teacher.whole(), (0, 2), value=9.0)):
        value, hidden, weight, bias = run(loss, student, other, MASK)
        torch.testing.assert_close((value, hidden, weight[:7], bias[:7]), expected)
        assert (weight[7:] == 0).all()
        assert (bias[7:] == 0).all()
    with pytest.raises(ValueError, match="the teacher has 7 classes; expected is"):
        compare_heads(student, teacher, forward_kl_, vocabulary=8)


def test_what_does_not_fit_is_refused(kind):
    student, teacher = head(), head(3, seed=1)
    short = replace(teacher, hidden=teacher.hidden[:-1])
    narrow = replace(teacher, weight=teacher.weight[:-1], bias=teacher.bias[:-1])
    for bad in (short, narrow, narrow.whole(), teacher.whole()[:1]):
        with pytest.raises(ValueError, match="equal shapes are expected"):
            kind()(student, bad)
    with pytest.raises(ValueError, match="its axes must be the first axes"):
        kind()(student, teacher, MASK[:, :-1])
    with pytest.raises(ValueError, match="a boolean one is expected"):
        kind()(student, teacher, MASK.long())
    with pytest.raises(ValueError, match="the head came with a weight of width 3"):
        kind()(replace(student, weight=teacher.weight), teacher)
    with pytest.raises(ValueError, match="expected: add the missing axis"):
        kind()(replace(student, hidden=student.hidden[0, 0]), teacher)


def test_chunks_are_chosen_by_their_size(monkeypatch):
    seen = []

    class Seen(response.SoftTarget):
        def slope(self, student, teacher):
            seen.append(len(student))
            return super().slope(student, teacher)

    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * CLASSES * 5)
    Seen()(head(), head(3, seed=1))
    assert seen == [5, 5, 2]


def test_a_subclass_with_another_divergence_has_its_own_gradient():
    class Half(response.SoftTarget):
        def divergence(self, student, teacher):
            return super().divergence(student, teacher) / 2

    assert Half.slope is Softened.slope
    assert (response.SoftTarget.reads_sparse, Half.reads_sparse) == (True, False)
    student, teacher = head(), head(3, seed=1)
    halves = [each / 2 for each in run(response.SoftTarget(), student, teacher, MASK)]
    torch.testing.assert_close(run(Half(), student, teacher, MASK), tuple(halves))


def test_losses_that_need_all_classes_say_which_do_not(kind):
    few = SparseLogits(
        torch.zeros(ITEMS, LENGTH, 1, dtype=torch.long), torch.zeros(ITEMS, LENGTH, 1), CLASSES
    )
    if kind is response.SoftTarget:
        assert kind(temperature=1.0)(head(), few).isfinite()
        return
    with pytest.raises(ValueError, match=r"came with a teacher of whom few .* use response\.SoftTarget"):
        kind()(head(), few)


def test_which_losses_read_heads():
    reading = {name for name in response.__all__ if getattr(response, name).reads_heads}
    softened = {name for name in response.__all__ if issubclass(getattr(response, name), Softened)}
    assert reading == softened | {"HardLabel", "MixedTarget"}
    assert (Loss.reads_heads, Loss.reads_sparse) == (False, False)


# ---------------------------------------------------------------------------------------------------- labels


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("form", [{}, {"scale": 0.5, "cap": 2.0}], ids=["plain", "capped"])
def test_labels(smoothing, mask, form, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * CLASSES * 2)
    labels = torch.randint(CLASSES, (ITEMS, LENGTH), generator=torch.Generator().manual_seed(3))
    labels[0, 2] = UNLABELLED
    loss = response.HardLabel(smoothing=smoothing)
    student = head(**form)
    expected = run(loss, student, labels, mask, whole=True)
    torch.testing.assert_close(run(loss, student, labels, mask), expected, **SMALL)
    if mask is not None:
        away = labels.masked_fill(~mask, 10_000)
        bad = replace(student, hidden=student.hidden.masked_fill(~mask[..., None], torch.nan))
        torch.testing.assert_close(run(loss, bad, away, mask), expected, **SMALL)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_no_label_is_zero(smoothing):
    nothing = torch.full((ITEMS, LENGTH), UNLABELLED)
    value, *gradients = run(response.HardLabel(smoothing=smoothing), head(), nothing, None)
    assert value == 0
    assert all((each == 0).all() for each in gradients)


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="one label for each item is expected"):
        response.HardLabel()(head(), torch.zeros(ITEMS, dtype=torch.long))
    with pytest.raises(ValueError, match="class indices are expected"):
        response.HardLabel()(head(), torch.zeros(ITEMS, LENGTH))


@pytest.mark.parametrize("room", [1, 64, 2**25])
def test_gradients_in_a_narrower_dtype_are_rounded_once(room, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", room)
    generator = torch.Generator().manual_seed(0)
    held = torch.randn(7, 5, generator=generator)
    found = chunks._scaled(held, torch.tensor(0.3), torch.bfloat16)
    assert torch.equal(found, (held * 0.3).bfloat16())
    assert torch.equal(chunks._scaled(held, torch.tensor(0.3), torch.float32), held * 0.3)
