"""Documents one by one: each token predicted once, from its own document alone."""

from __future__ import annotations

import pytest
import torch

from tutelage.tasks.language.chat import Talk
from tutelage.tasks.language.corpus import Corpus
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.types import UNLABELLED

TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "initializer_range": 0.3}
TEXTS = ["the owl saw a cat, and ran, and the cat saw the owl", "one dog", "", "that elk saw the owl — é"]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(TEXTS, Vocabulary.learnt(TEXTS, size=270), length=16)


def sums(corpus: Corpus, numbers: list[int]) -> torch.Tensor:
    torch.manual_seed(0)
    network = transformers_causal(config=TINY, vocabulary=len(corpus.words), length=16).eval()
    found = torch.zeros(len(numbers), dtype=torch.float64)
    for batch, owners in corpus.batches(numbers, rows=2):
        with torch.no_grad():
            said = network(**batch.inputs).logits.log_softmax(-1)
        there = owners >= 0
        assert torch.equal(there, batch.labels != UNLABELLED)
        assert torch.equal(there, batch.mask)
        picked = said[there].gather(-1, batch.labels[there].unsqueeze(-1)).squeeze(-1)
        found.index_add_(0, owners[there], picked.double())
    return found


def test_each_token_but_the_first_is_predicted_once(corpus):
    counts = torch.zeros(len(TEXTS), dtype=torch.int64)
    for _, owners in corpus.batches(range(len(TEXTS)), rows=3):
        counts += torch.bincount(owners[owners >= 0], minlength=len(TEXTS))
    sizes = [len(tokens) for tokens in corpus.words.encode(TEXTS)]
    assert max(sizes) > 16
    assert counts.tolist() == [size - 1 for size in sizes]


def test_a_document_is_worth_the_same_in_any_company(corpus):
    together = sums(corpus, [0, 1, 2, 3])
    torch.testing.assert_close(sums(corpus, [3, 0]), together[[3, 0]], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums(corpus, [1]), together[[1]], rtol=1e-5, atol=1e-5)
    assert together[2] == 0


def test_of_conversations_the_answers_are_predicted():
    talk = Talk("one dog", " saw the owl")
    words = Vocabulary.learnt(TEXTS, size=270)
    (_, owners), *_ = Corpus([talk], words, length=64).batches([0], rows=1)
    answer = words.encode([" saw the owl"])[0]
    assert int((owners >= 0).sum()) == len(answer)
    assert Corpus([talk], words, 64).row(0) == {"prompt": "one dog", "completion": " saw the owl"}
