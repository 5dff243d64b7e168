"""Soft targets: Hinton's numbers, limits and scales."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tutelage.losses.response import LogitMatch, SoftTarget


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def gradient(loss: torch.nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
    leaf = student.clone().requires_grad_()
    (result,) = torch.autograd.grad(loss(leaf, teacher), leaf)
    return result


def test_by_hand():
    z, v, temperature = (1.0, -2.0, 0.5), (3.0, 0.0, -1.0), 2.0

    def softmax(scores: tuple[float, ...]) -> list[float]:
        powers = [math.exp(score / temperature) for score in scores]
        return [power / sum(powers) for power in powers]

    expected = temperature**2 * sum(p * math.log(p / q) for q, p in zip(softmax(z), softmax(v), strict=True))
    loss = SoftTarget(temperature=temperature)(torch.tensor([z]), torch.tensor([v]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_forward_kl_is_not_a_cross_entropy():
    same = 3 * logits(8, 10)
    assert SoftTarget(temperature=1.0)(same, same) == 0


def test_the_gradient_is_that_of_section_2_1():
    student, teacher, temperature = logits(6, 5), logits(6, 5, seed=1), 3.0
    q, p = (student / temperature).softmax(-1), (teacher / temperature).softmax(-1)
    expected = temperature**2 * (q - p) / temperature / 6
    torch.testing.assert_close(gradient(SoftTarget(temperature=temperature), student, teacher), expected)


@pytest.mark.parametrize("temperature", [1e3, 1e4, 1e5])
def test_at_a_high_temperature_it_matches_zero_mean_logits(temperature):
    student, teacher = logits(6, 5), logits(6, 5, seed=1)
    student, teacher = student - student.mean(-1, keepdim=True), teacher - teacher.mean(-1, keepdim=True)
    limit = (student - teacher) / 5 / 6
    found = gradient(SoftTarget(temperature=temperature), student, teacher)
    torch.testing.assert_close(found, limit, atol=10 / temperature, rtol=0)
    torch.testing.assert_close(
        found * 5, gradient(LogitMatch(), student, teacher), atol=50 / temperature, rtol=0
    )


def test_the_size_of_the_gradient_does_not_depend_on_the_temperature():
    student, teacher = logits(64, 10), logits(64, 10, seed=1)
    sizes = [gradient(SoftTarget(temperature=t), student, teacher).norm().item() for t in (2, 4, 8, 16, 32)]
    assert max(sizes) / min(sizes) < 2  # without the factor T² they differ by 16² = 256


def test_positions_weigh_the_same_and_are_counted_once():
    student, teacher = logits(2, 50, 7), logits(2, 50, 7, seed=1)
    flat = SoftTarget()(student.flatten(0, 1), teacher.flatten(0, 1))
    torch.testing.assert_close(SoftTarget()(student, teacher), flat)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_classes_that_are_ruled_out_add_nothing(chunk_size):
    student, teacher = logits(5, 4), logits(5, 4, seed=1)
    none = torch.full((5, 3), -math.inf, dtype=torch.float64)
    loss = SoftTarget(chunk_size=chunk_size)
    wide = torch.cat([student, none], -1), torch.cat([teacher, none], -1)
    torch.testing.assert_close(loss(*wide), loss(student, teacher))
    found = gradient(loss, *wide)
    torch.testing.assert_close(found[:, :4], gradient(loss, student, teacher))
    assert (found[:, 4:] == 0).all()
    assert loss(wide[0], torch.cat([teacher, none.clone().fill_(1)], -1)) == math.inf


def test_bfloat16_logits_are_softened_in_float32():
    student, teacher = logits(4, 1000).bfloat16(), logits(4, 1000, seed=1).bfloat16()
    torch.testing.assert_close(SoftTarget()(student, teacher), SoftTarget()(student.float(), teacher.float()))


def test_student_and_teacher_may_differ_in_precision():
    student, teacher = logits(4, 5), logits(4, 5, seed=1).bfloat16()
    torch.testing.assert_close(
        SoftTarget()(student, teacher), SoftTarget()(student, teacher.double()), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_temperatures_without_a_softmax_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature came as"):
        SoftTarget(temperature=temperature)


def test_empty_chunks_are_refused():
    with pytest.raises(ValueError, match="chunk_size came as 0"):
        SoftTarget(chunk_size=0)
