"""The kernel itself runs where `liger-kernel` and `triton` are installed: on this processor, interpreted."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tutelage.losses import softened
from tutelage.losses.divergences import forward_kl, jensen_shannon, reverse_kl
from tutelage.losses.heads import liger
from tutelage.losses.heads.liger import compare_with_liger, liger_can
from tutelage.losses.response import JensenShannonTarget, ReverseSoftTarget, SkewedSoftTarget, SoftTarget
from tutelage.types import HeadLogits

LOSSES = [SoftTarget(temperature=2.0), ReverseSoftTarget(temperature=2.0), JensenShannonTarget(skew=0.3)]


class Spoiling(torch.autograd.Function):
    """What the kernel is documented to compute; as there, the backward pass overwrites what was kept."""

    @staticmethod
    def forward(ctx, between, temperature, hidden, weight, other, others_weight):
        with torch.enable_grad():
            ours = [held.detach().requires_grad_() for held in (hidden, weight)]
            student = (ours[0] @ ours[1].T / temperature).log_softmax(-1)
            teacher = (other @ others_weight.T / temperature).log_softmax(-1)
            if between in (0, 1):
                rows = (reverse_kl if between else forward_kl)(student, teacher)
            else:
                rows = jensen_shannon(student, teacher, skew=between)
            value = rows.mean()
            ctx.save_for_backward(*torch.autograd.grad(value, ours))
        return value.detach()

    @staticmethod
    def backward(ctx, gradient):
        return None, None, *(held.mul_(gradient) for held in ctx.saved_tensors), None, None


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def kernel(monkeypatch):
    """A stand-in for the package's kernel, on any device; the arguments it was made with."""
    made = []

    def make(between, temperature):
        made.append((between, temperature))
        return lambda *tensors: Spoiling.apply(between, temperature, *tensors[:4])

    monkeypatch.setattr(liger, "_kernel", make)
    return made


def heads(generator, *items, dtype=torch.float64, scale=1.0):
    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    student = HeadLogits(draw(*items, 4).requires_grad_(), draw(7, 4).requires_grad_(), scale=scale)
    return student, HeadLogits(draw(*items, 5), draw(7, 5), scale=scale)


def gradients(value, student):
    return torch.autograd.grad(value, [student.hidden, student.weight], retain_graph=True)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("masked", [False, True])
def test_value_and_gradient_are_those_of_the_reference(loss, masked, kernel, generator):
    student, teacher = heads(generator, 3, 4, scale=1.5)
    mask = torch.rand(3, 4, generator=generator) > 0.4 if masked else None
    found = compare_with_liger(student, teacher, loss.between, temperature=loss.temperature, mask=mask)
    plain = loss(student.whole(), teacher.whole(), mask) / loss.temperature**2
    torch.testing.assert_close(found, plain)
    for ours, expected in zip(gradients(3 * found, student), gradients(3 * plain, student), strict=True):
        torch.testing.assert_close(ours, expected)
    assert kernel == [(loss.between, loss.temperature / 1.5)]


def test_gradients_are_the_same_when_asked_for_again(kernel, generator):
    student, teacher = heads(generator, 6)
    found = 0.5 * compare_with_liger(student, teacher, 0.0)
    first, second = gradients(found, student), gradients(found, student)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_where_no_item_counts_all_is_zero(kernel, generator):
    student, teacher = heads(generator, 6)
    found = compare_with_liger(student, teacher, 0.0, mask=torch.zeros(6, dtype=torch.bool))
    assert found == 0
    assert all((held == 0).all() for held in gradients(found, student))
    assert kernel == []


def test_a_frozen_side_gets_no_gradient(kernel, generator):
    student, teacher = heads(generator, 6)
    student = HeadLogits(student.hidden, student.weight.detach())
    compare_with_liger(student, teacher, 0.0).backward()
    assert student.hidden.grad is not None
    assert student.weight.grad is None


def test_under_autocast_the_layer_is_multiplied_in_its_dtype(kernel, generator):
    student, teacher = heads(generator, 6, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compare_with_liger(student, teacher, 0.0)
    low = [HeadLogits(h.hidden.bfloat16(), h.weight.bfloat16()) for h in (student, teacher)]
    assert found == compare_with_liger(*low, 0.0)
    assert [held.dtype for held in gradients(found, student)] == [torch.float32] * 2


# -- when it is asked -------------------------------------------------------------------------------


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(liger, "_is_here", lambda: True)


def on(device, *, dtype=torch.bfloat16, classes=7, others=7, **options):
    with FakeTensorMode():
        student = HeadLogits(
            torch.empty(6, 4, device=device), torch.empty(classes, 4, device=device), **options
        )
        teacher = HeadLogits(
            torch.empty(6, 5, device=device, dtype=dtype), torch.empty(others, 5, device=device)
        )
    return student, teacher


def test_plain_heads_on_a_gpu_are_its_own(here):
    assert liger_can(*on("cuda"))


def test_without_the_package_it_cannot(monkeypatch):
    monkeypatch.setattr(liger, "_is_here", lambda: False)
    assert not liger_can(*on("cuda"))


@pytest.mark.parametrize(
    "heads",
    [
        on("cpu"),
        on("cuda", bias=torch.zeros(7)),
        on("cuda", cap=30.0),
        on("cuda", scale=0.5),
        on("cuda", others=8),
        on("cuda", dtype=torch.float64),
    ],
    ids=["cpu", "bias", "cap", "scale", "vocabulary", "float64"],
)
def test_what_the_kernel_does_not_know(here, heads):
    assert not liger_can(*heads)


def test_a_deterministic_run_chooses_nothing_by_time(here):
    torch.use_deterministic_algorithms(True)
    try:
        assert not liger_can(*on("cuda"))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_takes_the_faster_way(loss, kernel, generator, monkeypatch):
    asked = []

    def liger_wins(ways, student, *, of):
        asked.append(of)
        return ways["liger"]

    monkeypatch.setattr(softened, "liger_can", lambda student, teacher: True)
    monkeypatch.setattr(softened, "fastest", liger_wins)
    student, teacher = heads(generator, 6)
    torch.testing.assert_close(loss(student, teacher), loss(student.whole(), teacher.whole()))
    assert asked == [type(loss).__name__]
    assert len(kernel) == 1


class Doubled(SoftTarget):
    """Another divergence."""

    def divergence(self, student, teacher):
        return 2 * forward_kl(student, teacher)


@pytest.mark.parametrize("loss", [Doubled(), SkewedSoftTarget(), SoftTarget(chunk_size=2)], ids=repr)
def test_other_divergences_and_chunks_that_were_asked_for_stay(loss, generator, monkeypatch):
    monkeypatch.setattr(softened, "liger_can", lambda student, teacher: pytest.fail("asked for a kernel"))
    student, teacher = heads(generator, 6)
    torch.testing.assert_close(loss(student, teacher), loss(student.whole(), teacher.whole()))


# -- the kernel -------------------------------------------------------------------------------------

INTERPRETED = """
import sys
import torch
from tutelage.losses.heads.liger import compare_with_liger
from tutelage.losses.response import JensenShannonTarget, ReverseSoftTarget, SoftTarget
from tutelage.types import HeadLogits

generator = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(shape, generator=generator)
for dtype, near in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
    for loss in (SoftTarget(temperature=2.0), ReverseSoftTarget(), JensenShannonTarget(skew=0.3)):
        student, teacher = (
            HeadLogits(draw(24, width).to(dtype), draw(300, width).to(dtype)) for width in (16, 8)
        )
        student.hidden.requires_grad_(), student.weight.requires_grad_()
        mask = torch.arange(24) % 3 > 0
        found = compare_with_liger(student, teacher, loss.between, temperature=loss.temperature, mask=mask)
        known = [(side.hidden.detach(), side.weight.detach()) for side in (student, teacher)]
        exact = [HeadLogits(hidden.double(), weight.double()) for hidden, weight in known]
        exact[0].hidden.requires_grad_(), exact[0].weight.requires_grad_()
        plain = loss(exact[0].whole(), exact[1].whole(), mask) / loss.temperature**2
        ours, theirs = (
            torch.autograd.grad(3 * value, [side.hidden, side.weight])
            for value, side in ((found, student), (plain, exact[0]))
        )
        gaps = [abs(found - plain) / plain, *((a - b).norm() / b.norm() for a, b in zip(ours, theirs))]
        assert max(gaps) < near, (loss, dtype, gaps)
"""


@pytest.mark.skipif(
    not all(find_spec(name) for name in ("liger_kernel", "triton")),
    reason="liger-kernel and triton are not installed",
)
def test_the_kernel_agrees_with_the_reference():
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERPRETED],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
