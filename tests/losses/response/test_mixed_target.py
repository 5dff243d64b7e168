"""Soft targets and labels in one loss: the two that it joins, for every kind of student and teacher."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tutelage.evaluation.memory import LiveStorages
from tutelage.losses.heads import chunks, sides
from tutelage.losses.response import HardLabel, MixedTarget, SoftTarget
from tutelage.types import UNLABELLED, HeadLogits, SparseLogits

ITEMS, LENGTH, CLASSES = 3, 4, 7
EXACT = {"rtol": 1e-12, "atol": 1e-12}
MASK = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=torch.bool)
LABELS = torch.tensor([[0, 6, UNLABELLED, 2], [1, UNLABELLED, 3, 4], [UNLABELLED, UNLABELLED, 5, 5]])
FORMS = (True, {}), (False, {"scale": 1.7}), (True, {"scale": 0.8, "cap": 1.5})
TEACHERS = ["logits", "head", "tail", "sampled"]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def head(width: int = 4, *, seed: int = 0, bias: bool = True, **form) -> HeadLogits:
    hidden, weight = draw(ITEMS, LENGTH, width, seed=seed), draw(CLASSES, width, seed=seed + 10)
    return HeadLogits(hidden, weight, draw(CLASSES, seed=seed + 20) if bias else None, **form)


def teacher(kind: str, temperature: float) -> Tensor | HeadLogits | SparseLogits:
    whole = head(3, seed=1, cap=3.0)
    if kind in ("logits", "head"):
        return whole if kind == "head" else whole.whole()
    logits = whole.whole()
    classes = logits.topk(3).indices
    classes[..., 2] = torch.where(MASK, classes[..., 2], classes[..., 0])  # padding, in some items
    missing = classes[..., 2] == classes[..., 0]
    scores = logits.log_softmax(-1).gather(-1, classes)
    scores[..., 2] = scores[..., 2].masked_fill(missing, -torch.inf)
    if kind == "sampled":
        return SparseLogits(classes, scores.log_softmax(-1), CLASSES, temperature=temperature)
    probs = (logits / temperature).softmax(-1)
    known = torch.zeros_like(probs).scatter(-1, classes, 1)
    return SparseLogits(classes, scores, CLASSES, {temperature: (probs * (1 - known)).sum(-1).log()})


def joined(temperature: float, share: float):
    soft, hard = SoftTarget(temperature=temperature), HardLabel()

    def loss(student, teacher, labels, mask):
        return share * hard(student, labels, mask) + (1 - share) * soft(student, teacher, mask)

    return loss


def run(loss, student, *others, logits: bool = False):
    """The value, and the gradients of all that the student is made of."""
    held = [student.hidden, student.weight, *([] if student.bias is None else [student.bias])]
    leaves = [each.detach().clone().requires_grad_() for each in held]
    ours = replace(student, hidden=leaves[0], weight=leaves[1], bias=leaves[2] if leaves[2:] else None)
    value = loss(ours.whole() if logits else ours, *others)
    return value.detach(), *torch.autograd.grad(3 * value, leaves)


def test_by_hand():
    # T = 2: q = (½, ½), p = (¾, ¼), and T² (¾ log 3/2 + ¼ log ½); at T = 1 the label has ½
    student, given = torch.zeros(2, 2), torch.tensor([[2 * math.log(3), 0.0]] * 2)
    soft = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    labels = torch.tensor([1, UNLABELLED])  # one of two items has a label
    loss = MixedTarget(temperature=2.0, label_share=0.25)
    expected = 0.25 * math.log(2) / 2 + 0.75 * soft
    assert loss(student, given, labels).item() == pytest.approx(expected, rel=1e-6)
    # gradient of a row: ¼ (q − label) + ¾ · T (q − p), over 2 items
    slopes = [[0.25 * 0.5 - 0.75 * 0.5, -0.25 * 0.5 + 0.75 * 0.5], [-0.75 * 0.5, 0.75 * 0.5]]
    eye = HeadLogits(student.requires_grad_(), torch.eye(2))
    value = loss(eye, given, labels)
    assert value.item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(value, student)[0], torch.tensor(slopes) / 2)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "temperature", [3.0, *(pytest.param(held, marks=pytest.mark.slow) for held in (0.5, 1.0))]
)
@pytest.mark.parametrize("kind", TEACHERS)
@pytest.mark.parametrize("mask", [None, MASK, MASK[:, 0]], ids=["all", "positions", "examples"])
@pytest.mark.parametrize("logits", [False, True], ids=["head", "logits"])
def test_it_is_the_sum_of_both(share, temperature, kind, mask, logits):
    given = teacher(kind, temperature)
    plain = given.whole() if isinstance(given, HeadLogits) else given
    for bias, form in FORMS:
        student = head(bias=bias, **form)
        loss = MixedTarget(temperature=temperature, label_share=share, chunk_size=5)
        found = run(loss, student, given, LABELS, mask, logits=logits)
        for other, whole in ((given, logits), (plain, True)):
            expected = run(joined(temperature, share), student, other, LABELS, mask, logits=whole)
            torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("size", [None, 1, 3, 7, 100])
@pytest.mark.parametrize("kind", TEACHERS)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_any_chunks(size, kind, temperature):
    given, student = teacher(kind, temperature), head(cap=2.0)
    found = run(MixedTarget(temperature=temperature, chunk_size=size), student, given, LABELS, MASK)
    torch.testing.assert_close(found, run(joined(temperature, 0.5), student, given, LABELS, MASK), **EXACT)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", TEACHERS)
@pytest.mark.parametrize("logits", [False, True], ids=["head", "logits"])
def test_masked_content_reaches_nothing(temperature, kind, logits):
    student, given = head(), teacher(kind, temperature)
    away = ~MASK[..., None]
    bad = replace(student, hidden=student.hidden.masked_fill(away, torch.nan))
    if isinstance(given, SparseLogits):
        worse = replace(given, scores=given.scores.masked_fill(away, torch.nan))
    elif isinstance(given, HeadLogits):
        worse = replace(given, hidden=given.hidden.masked_fill(away, torch.inf))
    else:
        worse = given.masked_fill(away, torch.nan)
    labels = LABELS.masked_fill(~MASK, 10_000)
    loss = MixedTarget(temperature=temperature)
    expected = run(loss, student, given, LABELS, MASK, logits=logits)
    found = run(loss, bad, worse, labels, MASK)
    torch.testing.assert_close(found, expected, **EXACT)
    assert (found[1][~MASK] == 0).all()


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", TEACHERS)
def test_nothing_that_counts_is_zero(temperature, kind):
    student = head()
    student = replace(student, hidden=student.hidden * torch.nan)
    loss = MixedTarget(temperature=temperature)
    value, *gradients = run(loss, student, teacher(kind, temperature), LABELS, torch.zeros_like(MASK))
    assert value == 0
    assert all((each == 0).all() for each in gradients)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", TEACHERS)
def test_without_labels_the_soft_part_is_left(temperature, kind):
    student, given, none = head(), teacher(kind, temperature), torch.full_like(LABELS, UNLABELLED)
    soft = run(SoftTarget(temperature=temperature), student, given, None)
    found = run(MixedTarget(temperature=temperature, label_share=0.25), student, given, none, None)
    torch.testing.assert_close(found, tuple(0.75 * each for each in soft), **EXACT)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", TEACHERS)
def test_the_gradient_is_the_slope(temperature, kind):
    student, given = head(cap=2.0, scale=1.3), teacher(kind, temperature)
    leaves = [each.requires_grad_() for each in (student.hidden, student.weight, student.bias)]

    def value(hidden, weight, bias):
        ours = replace(student, hidden=hidden, weight=weight, bias=bias)
        return MixedTarget(temperature=temperature, chunk_size=5)(ours, given, LABELS, MASK)

    assert torch.autograd.gradcheck(value, leaves)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("logits", [False, True], ids=["head", "logits"])
def test_a_class_that_is_ruled_out(temperature, logits):
    sides = [replace(each, bias=each.bias.index_fill(0, torch.tensor([2]), -torch.inf))
             for each in (head(), head(3, seed=1))]  # fmt: skip
    for share, labels in ((0.5, LABELS.masked_fill(LABELS == 2, 3)), (0.0, LABELS)):
        loss = MixedTarget(temperature=temperature, label_share=share)
        found = run(loss, sides[0], sides[1].whole(), labels, None, logits=logits)
        assert all(each.isfinite().all() for each in found)
    loss = MixedTarget(temperature=temperature)
    assert run(loss, sides[0], sides[1].whole(), LABELS, None, logits=logits)[0] == math.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", TEACHERS)
def test_no_less_exact_than_both_apart(dtype, temperature, kind):
    student, given = head(64), teacher(kind, temperature)
    student = replace(student, hidden=student.hidden / 8, bias=student.bias.to(dtype))
    low = replace(student, hidden=student.hidden.to(dtype), weight=student.weight.to(dtype))
    exact = replace(low, hidden=low.hidden.double(), weight=low.weight.double(), bias=low.bias.double())
    true = run(joined(temperature, 0.5), exact, given, LABELS, MASK)
    apart = run(joined(temperature, 0.5), low, given, LABELS, MASK)
    found = run(MixedTarget(temperature=temperature, chunk_size=3), low, given, LABELS, MASK)
    for ours, theirs, truth in zip(found, apart, true, strict=True):
        assert ours.dtype == theirs.dtype
        gaps = [((each.double() - truth).norm() / truth.norm()).item() for each in (ours, theirs)]
        assert gaps[0] <= 2 * gaps[1] + max(torch.finfo(dtype).eps / 16, 1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_autocast_multiplies_as_a_linear_layer_would(temperature):
    student = replace(head(64), hidden=head(64).hidden.float() / 8, weight=head(64).weight.float())
    student = replace(student, bias=student.bias.float())
    given = teacher("logits", temperature).float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = run(joined(temperature, 0.5), student, given, LABELS, MASK, logits=True)
        found = run(MixedTarget(temperature=temperature), student, given, LABELS, MASK)
    assert [each.dtype for each in found] == [torch.float32] * 4
    torch.testing.assert_close(found, expected, rtol=3e-2, atol=3e-2)


class Products(TorchDispatchMode):
    """Count matrix products."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("temperature", "kind", "products"), [(1.0, "head", 4), (2.0, "head", 4), (1.0, "tail", 3)]
)
def test_the_head_is_passed_once(temperature, kind, products):
    student, given = head(), teacher(kind, temperature)
    with Products() as found:
        run(MixedTarget(temperature=temperature), student, given, LABELS, None)
    with Products() as apart:
        run(joined(temperature, 0.5), student, given, LABELS, None)
    assert (found.count, apart.count) == (products, products + 3)


def test_one_softmax_serves_both_at_temperature_1(monkeypatch):
    seen = []
    plain = sides.Side.softened
    monkeypatch.setattr(
        sides.Side,
        "softened",
        lambda side, *args, **named: seen.append(args[1]) or plain(side, *args, **named),
    )
    for temperature, softmaxes in ((1.0, [1.0]), (2.0, [1.0, 2.0])):
        seen.clear()
        MixedTarget(temperature=temperature)(head(), teacher("sampled", temperature), LABELS)
        assert seen == softmaxes


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["head", "sampled"])
def test_the_peak_is_not_above_that_of_both(temperature, kind, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * 1000 * 40)
    student, sure = (HeadLogits(torch.randn(400, 4), torch.randn(1000, 4)) for _ in "st")
    few = SparseLogits(torch.zeros(400, 1).long(), torch.zeros(400, 1), 1000, temperature=temperature)
    given, labels = sure if kind == "head" else few, torch.zeros(400).long()
    peaks = []
    for loss in (MixedTarget(temperature=temperature), joined(temperature, 0.5)):
        with LiveStorages() as storages:
            run(loss, student, given, labels, None)
        peaks.append(storages.peak)
    assert peaks[0] <= 1.05 * peaks[1]


def test_one_part_alone_costs_nothing_of_the_other():
    with Products() as found:
        run(MixedTarget(label_share=1.0), head(), teacher("head", 4.0), LABELS, None)
    assert found.count == 3  # none of the teacher's


def test_what_does_not_fit_is_refused():
    few = teacher("tail", 1.0)
    with pytest.raises(ValueError, match="asks at temperature 4"):
        MixedTarget(temperature=4.0)(head(), few, LABELS)
    with pytest.raises(ValueError, match="one label for each item is expected"):
        MixedTarget()(head(), teacher("head", 1.0), LABELS[0])
    with pytest.raises(ValueError, match="class indices are expected"):
        MixedTarget()(head(), teacher("head", 1.0), LABELS.double())
    with pytest.raises(ValueError, match="equal shapes are expected"):
        MixedTarget()(head(), teacher("logits", 1.0)[..., :-1], LABELS)
    with pytest.raises(ValueError, match="its axes must be the first axes"):
        MixedTarget()(head(), teacher("logits", 1.0), LABELS, MASK[:, :-1])


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_shares_out_of_range_are_refused(share):
    with pytest.raises(ValueError, match="label_share came as"):
        MixedTarget(label_share=share)


def test_what_it_needs_and_says():
    assert MixedTarget.needs == {"teacher", "labels", "mask"}
    assert MixedTarget(chunk_size=3).extra_repr() == "temperature=4.0, label_share=0.5, chunk_size=3"
