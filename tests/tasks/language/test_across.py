"""A teacher of another vocabulary: where both end together, and what lies between."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tutelage.losses import response
from tutelage.tasks.language.across import Across, meetings
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.spans import SpanTarget
from tutelage.tasks.language.vocabulary import Vocabulary

pytest.importorskip("transformers")

TEXTS = ["the owl saw a cat", "é one dog and an elk", "a cat ran"]
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "initializer_range": 0.3}


@pytest.fixture(scope="module")
def ours():
    return Vocabulary.learnt(TEXTS, size=257)  # bytes


@pytest.fixture(scope="module")
def theirs():
    return Vocabulary.learnt(TEXTS * 9, size=290)


@pytest.fixture(scope="module")
def network(theirs):
    torch.manual_seed(0)
    return transformers_causal(config=TINY, vocabulary=len(theirs)).eval()


def batch_of(words):
    rows = Rows(words.encode(TEXTS), length=64, padding=words.end)
    return rows.batch([0])


def test_meetings_by_hand():
    found = meetings([0, 1, 2, 3, 3], [0, 2, 3])
    assert [(one.ours, one.theirs) for one in found] == [(0, 0), (2, 1), (3, 2)]  # the last is an end


def test_ends_are_bytes(ours, theirs):
    for words in (ours, theirs):
        tokens = words.begin([TEXTS[1]])[0]
        assert words.ends(tokens)[-1] == len(TEXTS[1].encode())
        assert words.text_of(tokens) == TEXTS[1]
    assert ours.text_of(ours.begin(["é"])[0][:1]) is None


def test_its_logits_stand_where_both_end(ours, theirs, network):
    batch = batch_of(ours)
    found = Across(network, theirs, ours)(batch).logits
    tokens = theirs.begin([TEXTS[0]])[0]
    with torch.no_grad():
        alone = network(input_ids=torch.tensor([tokens])).logits[0]
    ends = theirs.ends(tokens)
    for number, end in enumerate(ends[:-1]):
        torch.testing.assert_close(found[0, end - 1], alone[number], rtol=1e-4, atol=1e-5)  # a byte a token
    between = set(range(len(TEXTS[0]) - 1)) - {end - 1 for end in ends}
    assert between
    assert all(found[0, place].isneginf().all() for place in between)


def test_the_probability_of_a_span_is_the_product_of_its_tokens(ours, theirs, network):
    batch = batch_of(ours)
    found = Across(network, theirs, ours, answers="spans")(batch).logits[0]
    tokens = theirs.begin([TEXTS[0]])[0]
    with torch.no_grad():
        said = network(input_ids=torch.tensor([tokens])).logits[0].log_softmax(-1)
    ends = theirs.ends(tokens)
    start = ends[0] - 1  # the span of the teacher's second token
    assert found[start : ends[1] - 1, 0].unique().tolist() == [float(start)]
    torch.testing.assert_close(found[start, 1], said[0, tokens[1]], rtol=1e-4, atol=1e-5)


def test_with_one_tokenizer_each_token_is_a_span_and_the_teacher_itself_loses_nothing(theirs, network):
    batch = batch_of(theirs)
    said = Across(network, theirs, theirs, answers="spans")(batch).logits
    with torch.no_grad():
        own = network(**batch.inputs).logits
    same = SpanTarget()(own, said, batch.labels, batch.mask)
    assert abs(float(same)) < 1e-5
    assert SpanTarget()(own * 0, said, batch.labels, batch.mask) > 1e-4
    places = Across(network, theirs, theirs)(batch).logits
    assert float(response.SortedProbabilities()(own, places, batch.mask)) < 1e-4


def test_a_masked_span_adds_nothing_and_gradients_are_finite():
    teacher = torch.tensor([[[0.0, -0.5], [0.0, -0.5], [1.0, -2.0], [-1.0, 0.0]]])
    student = torch.zeros(1, 4, 3, requires_grad=True)
    labels = torch.tensor([[0, 1, 2, -100]])
    whole = SpanTarget()(student, teacher, labels)
    whole.backward()
    assert np.isfinite(student.grad.numpy()).all()
    mask = torch.tensor([[True, False, True, True]])
    part = SpanTarget()(student, teacher, labels, mask)
    only = SpanTarget()(student[:, 2:], teacher[:, 2:], labels[:, 2:])
    torch.testing.assert_close(part * 3, only * 2)
