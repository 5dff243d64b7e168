"""What a form costs, said before and chosen by it."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.answers import Sampled, candidates, choose, error_of, form_of, read_bytes
from tutelage.errors import RecipeError


def zipf(rows: int = 256, classes: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    order = torch.stack([torch.randperm(classes, generator=generator) for _ in range(rows)])
    return (-1.5 * torch.arange(1.0, classes + 1).log()).expand(rows, -1).gather(1, order)


def test_the_error_by_hand():
    true = torch.tensor([[math.log(3.0), 0.0]])  # probabilities ¾ and ¼
    kept = torch.tensor([[0.0, 0.0]])  # ½ and ½
    error = error_of(kept, true, 1.0)
    assert error.kl == pytest.approx(0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert error.gradient == pytest.approx(1.0)  # off by (−¼, ¼), and the gradient at a half each is as long
    assert error.bias == pytest.approx(1.0)


def test_a_sample_has_noise_and_little_bias_and_top_k_the_reverse():
    logits = zipf(2048)
    sampled, top = (
        candidates(logits, rows=1, temperatures=[1.0], forms=[form_of(text)])[0].errors[1.0]
        for text in ("sampled:12@1", "topk:12:bare@1")
    )
    assert sampled.gradient > top.gradient
    assert sampled.bias < top.bias / 5
    assert top.bias == top.gradient
    assert sampled.in_training(512) < top.in_training(512)


def test_the_choice_fits_and_is_the_best_that_does():
    found = candidates(zipf(), rows=1000, temperatures=[1.0])
    for budget in (1e4, 1e5, 1e6):
        chosen = choose(found, budget, batch=512)
        assert chosen.most <= budget
        better = [one for one in found if one.most <= budget and one.worst(512) < chosen.worst(512) - 1e-4]
        assert better == []
    assert choose(found, math.inf, batch=512).worst(512) < 1e-3


def test_sizes_that_depend_on_the_answers_leave_room():
    kept = {form: [Sampled(4)] if form == "draws" else [form_of("dense:int8")] for form in ("draws", "dense")}
    (draws,), (dense,), (packed,) = (
        candidates(zipf(), rows=1000, temperatures=[1.0], forms=kept[form], compressed=compressed)
        for form, compressed in (("draws", False), ("dense", False), ("dense", True))
    )
    assert dense.most == dense.nbytes
    assert draws.most == 1.05 * draws.nbytes
    assert packed.most == 1.05 * packed.nbytes
    with pytest.raises(RecipeError, match="no form"):
        choose([draws], 1.04 * draws.nbytes, batch=1)
    assert choose([draws], 1.06 * draws.nbytes, batch=1) is draws


def test_a_budget_that_nothing_fits_names_the_least():
    with pytest.raises(RecipeError, match=r"no form .* the smallest, topk:1@1,"):
        choose(candidates(zipf(), rows=10**6, temperatures=[1.0]), 1e3, batch=1)


@pytest.mark.parametrize("seed", range(6))
def test_fair_draws_show_no_bias(seed):
    logits = 0.1 * torch.randn(500, 300, generator=torch.Generator().manual_seed(0))
    (found,) = candidates(logits, rows=1, temperatures=[1.0], forms=[Sampled(12, seed=seed)])
    assert found.errors[1.0].gradient > 5
    assert found.errors[1.0].bias == 0  # by chance alone up to 4.7


def test_a_sample_says_what_compression_saves():
    logits = torch.zeros(64, 100)
    (plain,) = candidates(logits, rows=1000, temperatures=[1.0], forms=[form_of("dense:float32")])
    (packed,) = candidates(
        logits, rows=1000, temperatures=[1.0], forms=[form_of("dense:float32")], compressed=True
    )
    assert plain.nbytes == 400_000
    assert packed.nbytes < 4_000


def test_forms_for_two_temperatures_have_tails_and_no_samples():
    found = candidates(zipf(), rows=1, temperatures=[1.0, 4.0])
    assert all(one.form.serves(4.0) for one in found)
    assert not any(one.form.text.startswith("sampled") for one in found)


@pytest.mark.parametrize("text", ["", "GB", "-3MB", "two"])
def test_sizes_that_are_none(text):
    with pytest.raises(RecipeError, match="such as 500MB"):
        read_bytes(text)
