"""Encoders and decoders of Transformers: what they write is what they answer about."""

from __future__ import annotations

import pytest
import torch

from tutelage.capture import capture
from tutelage.errors import ModelError
from tutelage.tasks.text.models import transformers_seq2seq

pytest.importorskip("transformers")

TOLD = {"vocabulary": 30, "length": 10, "begin": 2, "end": 3}
WIDE = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
WIDE |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "pad_token_id": 0}
KINDS = {
    "t5": {"d_model": 16, "num_layers": 1, "d_kv": 8, "d_ff": 16, "num_heads": 2, "pad_token_id": 0},
    "marian": WIDE,
}


@pytest.mark.parametrize("kind", ["marian", pytest.param("t5", marks=pytest.mark.slow)])
def test_a_translation_is_what_it_answers_about_it(kind, tmp_path):
    torch.manual_seed(0)
    network = transformers_seq2seq(config={"model_type": kind, **KINDS[kind]}, **TOLD).eval()
    tokens = torch.randint(4, 30, (3, 6))
    texts = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    texts["attention_mask"][1, 4:] = 0
    with torch.inference_mode():
        own = capture(network, texts).logits
        begun = torch.cat([torch.full((3, 1), 2), own.argmax(-1)[:, :-1]], 1)
        told = capture(network, {**texts, "decoder_input_ids": begun}).logits
        assert torch.allclose(own, told, atol=1e-4)
        network.save_pretrained(tmp_path)
        again = transformers_seq2seq(path=str(tmp_path), **TOLD).eval()
        assert torch.allclose(capture(again, texts).logits, own, atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="either path"):
        transformers_seq2seq(**TOLD)
    with pytest.raises(ModelError, match="marian, t5 or bart"):
        transformers_seq2seq(config={"model_type": "bert"}, **TOLD)
