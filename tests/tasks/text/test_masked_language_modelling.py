"""Hidden tokens: which, how they are shown, and that all networks see the same."""

from __future__ import annotations

import datasets
import pytest
import torch

from tutelage.errors import DataError, RecipeError
from tutelage.tasks.text import masked_language_modelling
from tutelage.types import UNLABELLED

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    to = tmp_path_factory.mktemp("texts")
    words = "the quick brown fox jumps over a lazy dog while seven cats watch from far away"
    words = words.split()
    rows = [" ".join(words[(n + k * k) % len(words)] for k in range(5 + n % 40)) for n in range(400)]
    datasets.Dataset.from_dict({"text": [*rows, "", "  "]}).to_parquet(to / "train.parquet")
    return masked_language_modelling(data=str(to), tokenizer={"words": 300}, length=16)


def test_about_fifteen_in_a_hundred_are_hidden_and_labels_are_what_was_there(problem):
    batch = problem.train.batch(range(len(problem.train)))
    tokens = torch.nn.utils.rnn.pad_sequence(problem.train.tokens, batch_first=True)
    chosen = batch.mask
    assert torch.equal(batch.labels[chosen], tokens[chosen])
    assert bool((batch.labels[~chosen] == UNLABELLED).all())
    shown = batch.inputs["input_ids"]
    assert torch.equal(shown[~chosen], tokens[~chosen])
    assert bool(chosen.any(1).all()), "one of each text at least"
    assert not bool(torch.isin(tokens, problem.train.masking.special)[chosen].any())
    may = ~torch.isin(tokens, problem.train.masking.special)
    assert 0.13 < float(chosen.sum() / may.sum()) < 0.21
    mask = problem.network_options["words"].mask
    assert 0.75 < float((shown[chosen] == mask).float().mean()) < 0.85
    assert 0.07 < float((shown[chosen] == tokens[chosen]).float().mean()) < 0.14


def test_the_same_tokens_are_hidden_in_any_batch(problem):
    many, one = problem.train.batch([4, 9, 2]), problem.train.batch([9])
    width = one.mask.shape[1]
    assert torch.equal(many.inputs["input_ids"][1, :width], one.inputs["input_ids"][0])
    assert torch.equal(many.mask[1, :width], one.mask[0])
    assert torch.equal(many.keys[1], one.keys[0])


def test_each_epoch_may_hide_others(problem):
    change = problem.augment({"remask": True})
    batch = problem.train.batch(range(20))
    one, again, other = (change(batch, view) for view in (3, 3, 4))
    assert torch.equal(one.mask, again.mask)
    assert not torch.equal(one.mask, other.mask)
    assert torch.equal(
        one.labels[one.mask],
        torch.nn.utils.rnn.pad_sequence(problem.train.tokens[:20], batch_first=True)[one.mask],
    )


def test_long_texts_are_cut_and_their_pieces_are_of_one_text(problem):
    owners = problem.train.owners
    assert len(problem.train) > len(set(owners.tolist()))
    assert max(map(len, problem.train.tokens)) == 16
    ids = torch.tensor([0, len(problem.train) - 1]) * 2**20 + 3
    assert problem.train.examples_of(ids).tolist() == owners[[0, -1]].tolist()


def test_guessing_by_frequency_is_the_chance(problem):
    assert 2.0 < problem.chance < 3.5
    assert (problem.metric, problem.higher_is_better) == ("nll", False)


def test_what_is_refused(tmp_path):
    datasets.Dataset.from_dict({"text": ["a b", "c d", "e f", "g h"]}).to_parquet(tmp_path / "train.parquet")
    told = {"data": str(tmp_path), "tokenizer": {"words": 300}, "validation": 1, "test": 1}
    with pytest.raises(RecipeError, match="between 0 and 1"):
        masked_language_modelling(**told, masked=1.5)
    with pytest.raises(DataError, match="at least 4"):
        masked_language_modelling(**told, length=3)
