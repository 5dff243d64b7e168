"""What labels of positions are of: told by networks, or by the labels, or refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tutelage as tl
from tutelage.data import source_of
from tutelage.errors import DataError
from tutelage.tasks.token_labels import convention_of, labels_follow, read_convention

transformers = pytest.importorskip("transformers")

IDS = torch.tensor([[2, 3, 4, 5, 6], [5, 6, 2, 3, 4], [3, 4, 5, 6, 2], [6, 2, 3, 4, 5]])


def gpt2():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=8, n_embd=8, n_layer=1, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=1
    )
    return transformers.GPT2LMHeadModel(config)


def rows(labels):
    return [{"input_ids": one, "labels": other} for one, other in zip(IDS, labels, strict=True)]


def test_networks_of_transformers_say_what_labels_are_of():
    bert = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=8)
    masked = transformers.BertForMaskedLM(bert)
    assert convention_of(gpt2()) == "next"
    assert convention_of(nn.DataParallel(gpt2())) == "next"
    assert convention_of(masked) == "each"
    assert convention_of(nn.Linear(2, 2)) is None
    with pytest.raises(DataError, match="teach a causal model by a causal one"):
        read_convention({"train": source_of(rows(IDS), where="train")[0]}, gpt2(), masked)


def test_of_other_networks_the_labels_are_looked_at():
    moved = torch.cat([IDS[:, 1:], IDS[:, :1]], 1)
    assert labels_follow(source_of(rows(IDS), where="train")[0])  # repeated: moved when they are read
    assert labels_follow(source_of((IDS, moved), where="train")[0])
    with pytest.raises(DataError, match="neither the network nor the labels say what it is of"):
        labels_follow(source_of((IDS, IDS % 2), where="train")[0])
    with pytest.raises(DataError, match="neither the network nor the labels say"):
        labels_follow(source_of((IDS, IDS), where="train")[0])
    said = [one | {"mask": torch.ones(5, dtype=torch.bool)} for one in rows(IDS % 2)]
    assert not labels_follow(source_of(said, where="train")[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The teacher")
def test_a_causal_model_is_judged_by_the_next_token(tmp_path):
    data = rows(IDS) * 6
    run = tl.distill(
        gpt2(),
        gpt2,
        data,
        data,
        epochs=1,
        batch_size=8,
        seeds=1,
        quiet=True,
        placebo=False,
        out=tmp_path / "run",
    )
    assert run.results["outcomes"]["student"]["quality"]["nll"]["mean"] < 3  # and not by accuracy


def test_tagging_without_a_mask_is_refused_before_anything_trains():
    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 3))

        def forward(self, input_ids):
            return self.layers(input_ids)

    with pytest.raises(DataError, match="give a mapping with a mask"):
        tl.distill(Tagger(), Tagger, rows(IDS % 3), rows(IDS % 3), epochs=1, seeds=1, quiet=True)
