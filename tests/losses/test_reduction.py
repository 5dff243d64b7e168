"""The mask, the denominator and the chunks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tutelage.losses.reduction import blank, check_logits, in_chunks, masked_mean, spread, widen

NAN = math.nan


def test_the_mean_is_over_unmasked_items():
    values = torch.tensor([1.0, 5.0, 100.0])
    assert masked_mean(values, torch.tensor([True, True, False])).item() == 3
    assert masked_mean(values).item() == pytest.approx(106 / 3)


def test_the_mean_over_positions_is_not_a_mean_of_means():
    values = torch.tensor([[2.0, 4.0, 6.0], [10.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert masked_mean(values, mask).item() == 22 / 4


def test_axes_beyond_the_mask_are_averaged_per_item():
    values = torch.arange(24.0).reshape(2, 3, 4)
    assert masked_mean(values, torch.tensor([False, True])).item() == values[1].mean()
    positions = torch.tensor([[True, False, False], [False, False, True]])
    assert masked_mean(values, positions).item() == torch.stack([values[0, 0], values[1, 2]]).mean()


@pytest.mark.parametrize("shape", [(3,), (3, 2), (0,), (0, 2), (3, 0)])
@pytest.mark.parametrize("masked", [True, False])
def test_nothing_to_average_is_zero_with_a_zero_gradient(shape, masked):
    values = torch.ones(shape, requires_grad=True)
    mean = masked_mean(values, torch.zeros(shape[:1], dtype=torch.bool) if masked else None)
    if masked or values.numel() == 0:
        assert mean == 0
        assert (torch.autograd.grad(mean, values)[0] == 0).all()


def test_items_without_elements_are_zero():
    assert masked_mean(torch.ones(3, 0), torch.tensor([True, False, True])) == 0


def test_what_is_masked_does_not_reach_the_mean():
    values = torch.tensor([1.0, NAN, math.inf], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, False]))
    assert mean == 1
    assert torch.autograd.grad(mean, values)[0].tolist() == [1, 0, 0]


def test_a_mean_of_bfloat16_is_counted_in_float32():
    values = torch.ones(1000, dtype=torch.bfloat16)
    values[0] = 2
    assert masked_mean(values, torch.ones(1000, dtype=torch.bool)).item() == pytest.approx(1.001)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(3), "pass mask.bool()"),
        (torch.ones(2, dtype=torch.bool), "first axes of the items"),
        (torch.ones(3, 2, 1, dtype=torch.bool), "first axes of the items"),
        (torch.tensor(True), "first axes of the items"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        masked_mean(torch.ones(3, 2), mask)
    with pytest.raises(ValueError, match=message):
        blank(mask, torch.ones(3, 2))


def test_blank_keeps_rubbish_out_of_value_and_gradient():
    rubbish = torch.tensor([[2.0, 3.0], [NAN, math.inf]], requires_grad=True)
    (clean,) = blank(torch.tensor([True, False]), rubbish)
    assert clean.tolist() == [[2, 3], [0, 0]]
    (gradient,) = torch.autograd.grad(clean.log_softmax(-1)[:, 0].sum(), rubbish)
    assert gradient.isfinite().all()
    assert (gradient[1] == 0).all()


def test_blank_without_a_mask_passes_on_what_came():
    tensors = torch.ones(2), torch.zeros(2, dtype=torch.long)
    assert all(after is before for after, before in zip(blank(None, *tensors), tensors, strict=True))


def test_blank_keeps_the_type():
    kept = blank(torch.tensor([True]), torch.ones(1, dtype=torch.bfloat16), torch.ones(1, dtype=torch.long))
    assert [tensor.dtype for tensor in kept] == [torch.bfloat16, torch.long]


def test_spread_shares_the_value_of_an_item():
    assert spread(torch.tensor([True, False]), (2, 2)).tolist() == [[True, True], [False, False]]


@pytest.mark.parametrize(
    ("came", "computed"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_widen(came, computed):
    assert widen(torch.ones(1, dtype=came)).dtype == computed


def test_logits_without_classes_are_refused():
    with pytest.raises(ValueError, match=r"\[items, classes\]"):
        check_logits(torch.ones(3))


# ------------------------------------------------------------------------------------------------- chunks


def entropy(logits: Tensor, weight: Tensor | None) -> Tensor:
    log_probs = logits.log_softmax(-1)
    values = -(log_probs.exp() * log_probs).sum(-1)
    return values if weight is None else values * weight


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(length=st.integers(0, 12), size=st.integers(1, 14), weighted=st.booleans())
def test_chunks_equal_the_whole_for_any_length(length, size, weighted):
    generator = torch.Generator().manual_seed(length)
    logits = torch.randn(length, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.rand(length, dtype=torch.float64, generator=generator) if weighted else None
    chunked, whole = (in_chunks(entropy, logits, weight, size=chunk) for chunk in (size, None))
    torch.testing.assert_close(chunked, whole)
    gradients = [torch.autograd.grad(values.square().sum(), logits)[0] for values in (chunked, whole)]
    torch.testing.assert_close(*gradients)


def test_chunks_keep_no_intermediate_of_the_forward_pass():
    logits = torch.randn(64, 100, requires_grad=True)

    def kept_elements(size: int | None) -> int:
        kept = []

        def keep(tensor: Tensor) -> None:
            if tensor.untyped_storage().data_ptr() != logits.untyped_storage().data_ptr():
                kept.append(tensor.numel())

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda _: None):
            in_chunks(entropy, logits, None, size=size)
        return sum(kept)

    assert kept_elements(None) >= logits.numel()
    assert kept_elements(8) < logits.numel() / 10


def test_the_backward_pass_holds_one_chunk_at_a_time():
    alive, most = 0, 0

    class Counted(torch.autograd.Function):
        """The identity, which counts how many of its graphs are alive at once."""

        @staticmethod
        def forward(ctx, rows):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return rows.clone()

        @staticmethod
        def backward(ctx, gradient):
            nonlocal alive
            alive -= 1
            return gradient

    rows = torch.randn(12, 3, requires_grad=True)
    values = in_chunks(lambda piece: Counted.apply(piece).exp().sum(-1), rows, size=2)
    alive, most = 0, 0
    values.sum().backward()
    assert (alive, most) == (0, 1)


def test_chunks_refuse_unequal_lengths_and_empty_chunks():
    with pytest.raises(ValueError, match="one length"):
        in_chunks(entropy, torch.ones(3, 2), torch.ones(2), size=2)
    with pytest.raises(ValueError, match="chunk size came as 0"):
        in_chunks(entropy, torch.ones(3, 2), None, size=0)
