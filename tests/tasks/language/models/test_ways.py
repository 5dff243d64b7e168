"""Rows of several documents, read by networks that look across and by those that do not."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.models.apart import apart, together
from tutelage.tasks.language.models.packed import positions_within

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
SMALL |= {"intermediate_size": 24, "vocab_size": 40, "max_position_embeddings": 64, "initializer_range": 0.3}
KINDS = {
    "llama": ("mask", {}),
    "qwen2_moe": ("mask", {"num_experts": 4, "moe_intermediate_size": 8, "num_experts_per_tok": 2}),
    "mistral": ("positions", {"sliding_window": 4}),
    "gemma3_text": ("positions", {"sliding_window": 4, "head_dim": 8}),
    "lfm2": ("apart", {"layer_types": ["conv", "full_attention"]}),
    "minimax": (
        "apart",
        {"layer_types": ["linear_attention", "full_attention"], "num_local_experts": 2, "head_dim": 8},
    ),
}
SECOND = torch.arange(20, 27)


def build(kind, **more):
    torch.manual_seed(0)
    return transformers_causal(config={"model_type": kind} | SMALL | KINDS[kind][1], length=16, **more).eval()


def row(first):
    tokens = torch.cat([torch.tensor(first), SECOND]).unsqueeze(0)
    documents = torch.tensor([[0] * len(first) + [1] * len(SECOND)])
    return {"input_ids": tokens, "documents": documents, "position_ids": positions_within(documents)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_gets_what_it_gets_alone(kind):
    network = build(kind)
    assert network.way == KINDS[kind][0]
    with torch.no_grad():
        alone = network(input_ids=SECOND.unsqueeze(0)).logits[0]
        for first in ([3, 7, 9, 11, 5], [30, 31, 32, 33, 34], [8] * 9):
            found = network(**row(first)).logits[0, len(first) :]
            torch.testing.assert_close(found.softmax(-1), alone.softmax(-1), rtol=0, atol=1e-5)


def test_a_window_is_kept_within_long_documents():
    network = build("gemma3_text")
    tokens = torch.arange(3, 19).unsqueeze(0)
    with torch.no_grad():
        own = network(input_ids=tokens).logits
        packed = network(input_ids=tokens, documents=torch.zeros_like(tokens)).logits
    torch.testing.assert_close(packed, own, rtol=1e-5, atol=1e-5)


def test_documents_by_themselves_with_the_head_apart_and_a_gradient():
    whole, apart_head = build("lfm2"), build("lfm2", head=True)
    batch = row([3, 7, 9])
    torch.testing.assert_close(apart_head(**batch).head.whole(), whole(**batch).logits)
    whole(**batch).logits.square().mean().backward()
    assert all(weight.grad is not None for weight in whole.parameters())


def test_documents_are_put_back_where_they_were():
    documents = torch.tensor([[0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 1, 1]])
    groups = list(apart(documents))
    assert sorted(len(group.rows) for group in groups) == [1, 1, 1, 2]
    numbers = torch.arange(12).view(2, 6)
    parts = [(group, numbers[group.rows, group.columns].unsqueeze(-1)) for group in groups]
    assert together(parts, (2, 6)).squeeze(-1).tolist() == numbers.tolist()


def test_a_network_that_looks_ahead_is_refused():
    settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40}
    with pytest.raises(ModelError, match="looks at the tokens after a position"):
        transformers_causal(config={"model_type": "bert", **settings}, length=16)
