"""Encoders: padding, heads, layers for matches, kept blocks, files that Transformers reads."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel

from tutelage.capture import capture
from tutelage.engine import save_weights
from tutelage.errors import CheckpointError, ModelError, UnknownName
from tutelage.losses import attention, feature
from tutelage.match import Match
from tutelage.tasks.text.models import bert, bilstm, transformers_encoder
from tutelage.tasks.text.words import WordList
from tutelage.training.pretrained import write_pretrained
from tutelage.types import Batch, Outputs

SIZES = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
TINY = {"model_type": "bert", "num_hidden_layers": 4, **SIZES}
TOLD = {"num_classes": 3, "vocabulary": 50, "length": 16}


def small(name, **settings):
    torch.manual_seed(0)
    if name == "bert":
        return bert(hidden=16, heads=2, layers=2, **TOLD, **settings).eval()
    if name == "bilstm":
        told = {key: TOLD[key] for key in ("num_classes", "vocabulary")}
        return bilstm(embedding=8, hidden=6, width=10, **told, **settings).eval()
    return transformers_encoder(config=TINY, **TOLD, **settings).eval()


def inputs(length=5, padded=0, seed=0):
    tokens = torch.randint(5, 50, (2, length), generator=torch.Generator().manual_seed(seed))
    there = torch.ones_like(tokens)
    filled = torch.nn.functional.pad(tokens, (0, padded)), torch.nn.functional.pad(there, (0, padded))
    return dict(zip(("input_ids", "attention_mask"), filled, strict=True))


def logits_of(network, given):
    with torch.no_grad():
        return capture(network, given).logits


@pytest.mark.parametrize("name", ["bert", "bilstm", "transformers_encoder"])
def test_padding_changes_no_answer(name):
    network = small(name)
    plain, filled = (logits_of(network, inputs(padded=padded)) for padded in (0, 4))
    assert plain.shape == (2, 3)
    torch.testing.assert_close(plain, filled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "transformers_encoder"])
@pytest.mark.parametrize(("answers", "width"), [("tags", 3), ("token", 50)])
def test_heads_at_positions(name, answers, width):
    told = {**TOLD, "num_classes": width, "answers": answers}
    if name == "bert":
        network = bert(hidden=16, heads=2, embedding=8, **told)
    else:
        network = transformers_encoder(config=TINY, **told)
    assert logits_of(network.eval(), inputs()).shape == (2, 5, width)


LAYERS = {
    "bert": ("blocks.1", "blocks.1.attention.scores", "blocks.1.attention.query"),
    "transformers_encoder": (
        "bert.encoder.layer.1",
        "bert.encoder.layer.1.attention.self:output.1",
        "bert.encoder.layer.1.attention.self.query",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_for_matches_have_their_names(name):
    network = small(name, **({"attention": "scores"} if name != "bert" else {}))
    found = capture(network, inputs(), LAYERS[name]).features
    shapes = [tuple(found[layer].shape) for layer in LAYERS[name]]
    assert shapes == [(2, 5, 16), (2, 2, 5, 5), (2, 5, 16)]


def test_scores_stand_before_the_softmax_and_change_no_answer():
    network = small("transformers_encoder", attention="scores")
    given = inputs(padded=3)
    path = LAYERS["transformers_encoder"][1]
    scores = capture(network, given, [path]).features[path]
    ours = logits_of(network, given)
    network.set_attn_implementation("eager")
    weights = capture(network, given, [path]).features[path]
    torch.testing.assert_close(scores[..., :5].softmax(-1), weights[..., :5], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, logits_of(network, given), rtol=1e-4, atol=1e-5)


def test_padding_counts_in_no_term_on_hidden_states_and_attention():
    teacher, student = small("transformers_encoder", attention="scores"), small("bert")
    hidden, scores, query = (
        list(pair) for pair in zip(LAYERS["bert"], LAYERS["transformers_encoder"], strict=True)
    )
    matches = [
        Match(feature.Hint(), guided=hidden[0], hint=hidden[1]),
        Match(attention.AttentionMatrices(), guided=scores[0], hint=scores[1]),
        Match(attention.AttentionRelations(relation_heads=2), guided=query[0], hint=query[1]),
    ]
    terms = []
    for padded in (0, 4):
        given = inputs(padded=padded)
        with torch.no_grad():
            ours, theirs = (
                capture(n, given, LAYERS[k])
                for n, k in ((student, "bert"), (teacher, "transformers_encoder"))
            )
        batch = Batch(given, torch.arange(2), torch.zeros(2, dtype=torch.int64))
        terms.append([float(match(ours, theirs, batch)) for match in matches])
    assert terms[0] == pytest.approx(terms[1], rel=1e-4)
    assert all(term > 0 for term in terms[0])


def test_kept_blocks_are_those_of_the_teacher(tmp_path):
    small("transformers_encoder").save_pretrained(tmp_path)
    whole = transformers_encoder(path=str(tmp_path), **TOLD)
    few = transformers_encoder(path=str(tmp_path), layers=[0, 2], **TOLD)
    same = transformers_encoder(path=str(tmp_path), every=2, **TOLD)
    assert len(few.bert.encoder.layer) == few.config.num_hidden_layers == 2
    ours, theirs = few.bert.encoder.layer[1].state_dict(), whole.bert.encoder.layer[2].state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert all(
        torch.equal(a, b) for a, b in zip(few.state_dict().values(), same.state_dict().values(), strict=True)
    )


def test_a_student_is_read_by_transformers_alone(tmp_path):
    names = ("bad", "fair", "good")
    network = small("transformers_encoder", attention="scores", layers=[1, 3], class_names=names)
    save_weights(tmp_path / "student.safetensors", network)
    write_pretrained(network, tmp_path)
    read = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert read.config.id2label == dict(enumerate(names))
    torch.testing.assert_close(logits_of(read, inputs()), logits_of(network, inputs()), rtol=1e-4, atol=1e-5)


def test_an_encoder_without_a_head_gets_one_where_that_is_asked(tmp_path):
    BertModel(BertConfig(vocab_size=50, num_hidden_layers=1, **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="new_head: true"):
        transformers_encoder(path=str(tmp_path), **TOLD)
    made = transformers_encoder(path=str(tmp_path), new_head=True, **TOLD)
    assert logits_of(made.eval(), inputs()).shape == (2, 3)


def test_embeddings_may_begin_as_those_of_an_encoder_in_fewer_numbers(tmp_path):
    BertModel(BertConfig(vocab_size=50, num_hidden_layers=1, **SIZES)).save_pretrained(tmp_path)
    theirs = BertModel.from_pretrained(tmp_path).embeddings.word_embeddings.weight.detach()
    told = {"num_classes": 3, "length": 8, "hidden": 12, "embeddings_from": str(tmp_path)}
    whole, half = (
        bert(vocabulary=50, embedding=width, **told).embeddings.words.weight.detach()
        for width in (theirs.shape[1], theirs.shape[1] // 2)
    )
    torch.testing.assert_close(half, whole[:, : half.shape[1]] * (0.02 / whole[:, : half.shape[1]].std()))
    assert bool((whole.var(0).diff() < 0).all()), "those that hold most come first"
    ours, true = torch.cdist(whole, whole), torch.cdist(theirs, theirs)
    torch.testing.assert_close(ours / ours.mean(), true / true.mean(), rtol=1e-3, atol=1e-3)
    with pytest.raises(ModelError, match=r"50 tokens of .* and 51 of 8 are wanted"):
        bert(vocabulary=51, embedding=8, **told)


def test_what_is_refused(tmp_path):
    with pytest.raises(ModelError, match="either path"):
        transformers_encoder()
    with pytest.raises(ModelError, match="one of them"):
        transformers_encoder(config=TINY, layers=[0], every=2)
    with pytest.raises(UnknownName, match="scores"):
        transformers_encoder(config=TINY, attention="score")
    with pytest.raises(UnknownName, match="hidden_size"):
        transformers_encoder(config={"model_type": "bert", "hidden_sise": 3})
    with pytest.raises(ModelError, match="max_position_embeddings 8"):
        transformers_encoder(config=TINY | {"max_position_embeddings": 8}, **TOLD)
    with pytest.raises(ModelError, match="no classifier of texts"):
        transformers_encoder(config={"model_type": "vit"}, **TOLD)
    small("transformers_encoder").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="answers 3 classes, and 5 were expected"):
        transformers_encoder(path=str(tmp_path), **TOLD | {"num_classes": 5})
    with pytest.raises(ModelError, match="heads must divide"):
        bert(hidden=15, heads=2, **TOLD)
    with pytest.raises(UnknownName, match="tags"):
        bilstm(num_classes=2, vocabulary=9, answers="tags")


def test_a_network_of_another_tokenizer_is_refused(tmp_path):
    ours, theirs = (
        WordList.learnt([f"{one} was here and there {n}" for n in range(9)], kind="words", size=300)
        for one in ("katze", "cat")
    )
    small("transformers_encoder").save_pretrained(tmp_path)
    theirs.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="stand for other words"):
        transformers_encoder(path=str(tmp_path), words=ours, **TOLD)


def test_a_match_of_vectors_keeps_its_mask():
    batch = Batch(inputs(), torch.arange(2), None)
    match = Match(feature.Hint(), guided="a", hint="a")
    same = Outputs(features={"a": torch.ones(2, 4)})
    assert float(match(same, same, batch)) == 0
