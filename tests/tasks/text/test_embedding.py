"""Sentences without labels: pairs, the encoder's word, what is held out, views."""

from __future__ import annotations

import datasets
import pytest
import torch
from transformers import BertConfig, BertModel

from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.evaluation import jackknife
from tutelage.tasks.text import embedding
from tutelage.tasks.text.similarity import Embedded, SimilarityExam, draw_pairs
from tutelage.tasks.text.words import WordList
from tutelage.types import Batch, Outputs

ANIMALS = ("cat", "dog", "owl", "fox", "bee", "cow", "hen", "ant")
KIND, RUDE = (
    [f"the {animal} was {word}" for animal in ANIMALS for word in words]
    for words in (("nice", "sweet", "lovely"), ("nasty", "mean", "horrid"))
)
SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A small encoder with a tokenizer, in a folder."""
    to = tmp_path_factory.mktemp("encoder")
    words = WordList.learnt([*KIND, *RUDE, "to us"], kind="words", size=300)
    words.tokenizer.save_pretrained(to)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(words), **SIZES)).save_pretrained(to)
    return str(to)


@pytest.fixture(scope="module")
def problem(folder, encoder):
    return embedding(data=folder, encoder=encoder, validation=8, test=10)


def test_the_parts_and_what_networks_are_told(problem, encoder):
    assert [len(part) for part in (problem.train, problem.validation, problem.test)] == [30, 8, 10]
    assert (problem.metric, problem.higher_is_better, problem.chance) == ("spearman", True, 0.0)
    assert problem.network_options["encoder"] == encoder
    assert problem.train.batch([0, 1]).labels is None
    held = problem.test.batch([3, 1])
    assert held.labels.shape == (2, 16)
    assert torch.equal(problem.test.batch([1]).labels[0], held.labels[1])
    assert problem.test.fingerprint() != problem.test.source.fingerprint()


def test_what_is_held_out_is_not_trained_on_and_a_sentence_counts_once(encoder, tmp_path):
    rows = KIND
    for name, held in (("train", rows), ("validation", rows[:4]), ("test", [*rows[4:8], rows[4], " "])):
        datasets.Dataset.from_dict({"text": held}).to_parquet(tmp_path / f"{name}.parquet")
    found = embedding(data=str(tmp_path), encoder=encoder)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [16, 4, 4]


def test_the_encoder_agrees_with_itself_and_another_does_not(problem):
    batches = [problem.test.batch([n, n + 1]) for n in range(0, 10, 2)]
    same = problem.exam.ask(lambda b: Outputs(logits=b.labels * 3), batches, device=torch.device("cpu"))
    assert problem.exam.measure(same)["spearman"] == pytest.approx(1)
    noise = torch.Generator().manual_seed(0)
    other = problem.exam.ask(
        lambda b: Outputs(logits=torch.randn(len(b), 7, generator=noise)),
        batches,
        device=torch.device("cpu"),
    )
    found = problem.exam.measure(other)
    assert abs(found["spearman"]) < 0.8
    assert "cosine" not in found, "of other widths"
    shared = jackknife(
        lambda held: problem.exam.measure(held)["spearman"], other, problem.exam.clusters(other, problem.test)
    )
    assert len(shared) == 10
    assert float(shared.mean()) == pytest.approx(found["spearman"])


def test_pairs_by_hand():
    own = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    others = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    pairs = torch.tensor([[4, 9], [2, 7]])
    held = Embedded(own, others, torch.tensor([4, 9, 7, 2]), pairs, torch.tensor([True, False]))
    ours, theirs = held.similarities()
    torch.testing.assert_close(ours, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(theirs, torch.tensor([1.0, 0.5**0.5]))
    assert held.take(torch.tensor([3, 1, 2])).pairs.tolist() == [[2, 7]]


def test_pairs_that_are_drawn_belong_to_the_texts_and_spread():
    vectors, ids = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60)
    pairs, near = draw_pairs(vectors, ids)
    turned = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    again, _ = draw_pairs(vectors[turned], ids[turned])
    assert torch.equal(pairs, again)
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    cosines = torch.nn.functional.cosine_similarity(vectors[pairs[:, 0]], vectors[pairs[:, 1]])
    assert float(cosines[near].mean()) > 0.5 > float(cosines[~near].mean())
    other, _ = draw_pairs(vectors, ids, seed=1)
    assert pairs.tolist() != other.tolist()
    with pytest.raises(DataError, match="at least 3"):
        draw_pairs(vectors[:2], ids[:2])


def test_pairs_of_the_data(encoder, tmp_path):
    table = {"sentence1": KIND, "sentence2": RUDE, "score": [1.0] * 24}
    datasets.Dataset.from_dict(table).to_parquet(tmp_path / "train.parquet")
    found = embedding(data=str(tmp_path), encoder=encoder, validation=4, test=6)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [28, 8, 12]
    batch = found.test.batch(range(12))
    answers = found.exam.ask(lambda b: Outputs(logits=b.labels), [batch], device=torch.device("cpu"))
    assert answers.pairs.tolist() == [[n, n + 1] for n in range(0, 12, 2)]
    assert found.exam.clusters(answers, found.test).tolist() == [n // 2 for n in range(12)]
    assert set(found.exam.measure(answers)) == {"spearman", "pearson", "cosine"}


def test_each_text_twice(problem):
    batch = problem.augment({"twice": True})(problem.train.batch([4, 2]), 0)
    assert isinstance(batch, Batch)
    assert batch.ids.tolist() == [4, 2, 4, 2]
    assert torch.equal(batch.inputs["input_ids"][:2], batch.inputs["input_ids"][2:])
    assert len(batch.inputs["attention_mask"]) == len(batch.keys) == 4


def test_what_is_refused(folder, encoder):
    with pytest.raises(RecipeError, match="control"):
        SimilarityExam().alone()
    with pytest.raises(UnknownName, match="column"):
        embedding(data=folder, encoder=encoder, text="nothing")
    batch = Batch(inputs=torch.zeros(2), ids=torch.arange(2))
    with pytest.raises(DataError, match="without the embeddings"):
        SimilarityExam().ask(lambda b: Outputs(logits=torch.ones(2, 3)), [batch], device=torch.device("cpu"))
