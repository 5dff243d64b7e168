"""A small encoder and decoder: what it writes is what it answers about, whoever stands beside it."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.tasks.text.models import transformer

SIZES = {"vocabulary": 20, "length": 12, "hidden": 16, "layers": 2, "heads": 2, "begin": 1, "end": 2}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return transformer(**SIZES).eval()


@pytest.fixture
def texts():
    tokens = torch.randint(3, 20, (3, 6))
    there = torch.ones_like(tokens)
    there[1, 4:] = 0
    return {"input_ids": tokens, "attention_mask": there}


def test_a_translation_is_what_it_answers_about_it(network, texts):
    with torch.inference_mode():
        own = network(**texts)
        tokens = own.argmax(-1)
        begun = torch.cat([torch.full((3, 1), 1), tokens[:, :-1]], 1)
        told = network(**texts, decoder_input_ids=begun)
    assert own.shape[0] == 3
    assert own.shape[1] <= 12
    assert torch.allclose(own, told, atol=1e-5)


def test_an_answer_depends_on_no_later_token_and_no_padding(network, texts):
    begun = torch.randint(3, 20, (3, 5))
    other = begun.clone()
    other[:, 3:] = 7
    changed = {**texts, "input_ids": texts["input_ids"].clone()}
    changed["input_ids"][1, 4:] = 9
    with torch.inference_mode():
        one = network(**texts, decoder_input_ids=begun)
        two = network(**changed, decoder_input_ids=other)
        alone = network(texts["input_ids"][1:2, :4], decoder_input_ids=begun[1:2])
    assert torch.allclose(one[:, :3], two[:, :3], atol=1e-6)
    assert not torch.allclose(one[:, 3:], two[:, 3:], atol=1e-3)
    assert torch.allclose(one[1:2], alone, atol=1e-5)


def test_it_stops_once_every_text_is_ended(network, texts):
    network.decoder_norm.weight.data.zero_()
    network.decoder_norm.bias.data.copy_(network.words.weight[2] * 100)  # the end is always likeliest
    with torch.inference_mode():
        assert network(**texts).shape == (3, 1, 20)


def test_encoder_and_decoder_have_sizes_of_their_own():
    network = transformer(**SIZES | {"decoder_layers": 1, "tied": False, "feed_forward": 8})
    assert (len(network.encoder), len(network.decoder)) == (2, 1)
    assert network.head.weight.shape == (20, 16)
    assert network.encoder[0].widen.weight.shape == (8, 16)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"heads": 3}, "must divide hidden"), ({"layers": 0}, "layers")],
)
def test_sizes_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ModelError, match=said):
        transformer(**SIZES | settings)


def test_texts_that_are_too_long_are_refused(network):
    with pytest.raises(ModelError, match="set length: 13"):
        network(torch.ones(1, 13, dtype=torch.int64))
