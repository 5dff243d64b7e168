"""Batches of tokens as the collators of Transformers and TRL make them, against Transformers' own loss."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import as_batch, source_of
from tutelage.errors import DataError
from tutelage.losses import response
from tutelage.match import Match
from tutelage.types import UNLABELLED, Outputs

transformers = pytest.importorskip("transformers")

TEXTS = [[5, 6, 7, 8, 9, 2], [5, 9, 2], [7, 7, 8, 6, 5, 9, 8, 2]]
NONE = UNLABELLED


@pytest.fixture(scope="module")
def words():
    from tokenizers import Tokenizer, models

    model = Tokenizer(models.WordLevel({str(number): number for number in range(12)}, unk_token="0"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=model, pad_token="0", eos_token="2")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def language_modelling(words):
    return transformers.DataCollatorForLanguageModeling(words, mlm=False)([{"input_ids": t} for t in TEXTS])


def padding(words):
    return transformers.DataCollatorWithPadding(words)([{"input_ids": t} for t in TEXTS])


def prompt_and_completion(words):
    """The layout of TRL's collator: −100 on the prompt and on what fills up."""
    longest, prompt = max(map(len, TEXTS)), 2
    filled = [t + [0] * (longest - len(t)) for t in TEXTS]
    labels = [[NONE] * prompt + t[prompt:] + [NONE] * (longest - len(t)) for t in TEXTS]
    there = [[1] * len(t) + [0] * (longest - len(t)) for t in TEXTS]
    return {
        name: torch.tensor(v)
        for name, v in (("input_ids", filled), ("attention_mask", there), ("labels", labels))
    }


def ours(network, batch):
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    return Match(response.HardLabel())(Outputs(network(**inputs).logits), None, batch)


@pytest.mark.parametrize("made", [language_modelling, padding, prompt_and_completion])
def test_a_batch_gives_the_loss_that_transformers_gives(network, words, made):
    raw = dict(made(words))
    if "labels" not in raw:  # what is padding, the user would mark
        raw["labels"] = raw["input_ids"].masked_fill(raw["attention_mask"] == 0, NONE)
        theirs = network(**raw).loss
        raw.pop("labels")
    else:
        theirs = network(**raw).loss
    batch = as_batch(raw, torch.arange(3), "next")
    torch.testing.assert_close(ours(network, batch), theirs, rtol=0, atol=1e-6)
    assert batch.count == int((batch.labels != NONE).sum())


def test_labels_by_hand_without_what_fills_up():
    raw = {"input_ids": torch.tensor([[5, 6, 7, 0]]), "attention_mask": torch.tensor([[1, 1, 1, 0]])}
    batch = as_batch(raw | {"labels": raw["input_ids"]}, torch.arange(1))  # padding is not marked in labels
    assert batch.labels.tolist() == [[6, 7, NONE, NONE]]
    assert batch.mask.tolist() == [[True, True, False, False]]
    assert set(batch.inputs) == {"input_ids", "attention_mask"}


def test_a_completion_mask_leaves_the_prompt_out():
    raw = {"input_ids": torch.tensor([[5, 6, 7, 2]]), "attention_mask": torch.ones(1, 4)}
    raw["completion_mask"] = torch.tensor([[0, 0, 1, 1]])
    batch = as_batch(raw, torch.arange(1), "next")
    assert batch.labels.tolist() == [[NONE, 7, 2, NONE]]
    assert "completion_mask" not in batch.inputs


def test_labels_of_the_positions_themselves_stay():
    raw = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.tensor([[1, 1, 0]])}
    batch = as_batch(raw | {"labels": torch.tensor([[1, NONE, 0]])}, torch.arange(1))
    assert batch.labels.tolist() == [[1, NONE, NONE]]
    assert batch.mask.tolist() == [[True, False, False]]
    whole = as_batch(raw | {"labels": torch.tensor([[1, 0, 1]]), "mask": torch.ones(1, 3)}, torch.arange(1))
    assert whole.labels.tolist() == [[1, 0, 1]]


def test_labels_that_were_moved_already_are_refused():
    raw = {"input_ids": torch.tensor([[5, 6, 7]]), "labels": torch.tensor([[6, 7, NONE]])}
    with pytest.raises(DataError, match="moves labels by one itself"):
        as_batch(raw, torch.arange(1), "next")


def test_lists_of_any_length_are_filled_up():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"input_ids": TEXTS, "labels": TEXTS})
    for data in (table, [{"input_ids": t, "labels": t} for t in TEXTS]):
        batch = source_of(data, where="train")[0].batch([0, 1])
        assert batch.inputs["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
        assert batch.labels[1].tolist() == [9, 2, NONE, NONE, NONE, NONE]
