"""Whose numbers stand for which words, before anything trains."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import ModelError
from tutelage.losses import response
from tutelage.match import Match
from tutelage.schemes import Offline
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.tasks.tokenizers import differing
from tutelage.teachers import Frozen
from tutelage.types import Batch

pytest.importorskip("transformers")

ENGLISH, GERMAN = ["the cat sat on the mat"] * 9, ["die katze liegt auf dem sofa"] * 9
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24}


def saved(folder, texts, rows=0):
    words = Vocabulary.learnt(texts, size=270)
    network = transformers_causal(config=TINY | {"vocab_size": len(words) + rows}, words=words)
    from tutelage.tasks.language.models.packed import unpacked

    with unpacked(network):
        network.save_pretrained(folder)
    words.tokenizer.save_pretrained(folder)
    return str(folder)


def test_another_tokenizer_is_refused_with_texts_as_both_read_them(tmp_path):
    ours, theirs = saved(tmp_path / "ours", ENGLISH), saved(tmp_path / "theirs", GERMAN)
    words = Vocabulary.of(ours, ENGLISH)
    assert differing(words.tokenizer, Vocabulary.of(theirs, []).tokenizer)
    with pytest.raises(ModelError, match="stand for other words") as caught:
        transformers_causal(path=theirs, vocabulary=len(words), words=words)
    assert str(caught.value).count("\n  ") == 6
    transformers_causal(path=ours, vocabulary=len(words), words=words)


def test_fewer_embeddings_than_tokens_are_refused():
    words = Vocabulary.learnt(ENGLISH, size=270)
    with pytest.raises(ModelError, match=r"has embeddings for 100 tokens"):
        transformers_causal(config=TINY | {"vocab_size": 100}, vocabulary=len(words), words=words)


@pytest.mark.parametrize("rows", [(4, 20), (20, 4)], ids=["wider teacher", "wider student"])
@pytest.mark.parametrize("head", [False, True])
def test_rows_of_padding_are_cut(tmp_path, rows, head):
    paths = [saved(tmp_path / str(number), ENGLISH, number) for number in rows]
    words = Vocabulary.of(paths[0], ENGLISH)
    settings = {"vocabulary": len(words), "words": words, "head": head}
    student, teacher = (transformers_causal(path=path, **settings) for path in paths)
    tokens = torch.tensor([words.begin([ENGLISH[0]])[0]])
    batch = Batch({"input_ids": tokens}, torch.arange(1), tokens.roll(-1, 1))
    match = Match(response.SoftTarget(temperature=1.0))
    scheme = Offline(student, Frozen(teacher), [match])
    found = scheme.terms(*scheme.observe(batch), batch)["SoftTarget"]
    width = len(words) + min(rows)
    with torch.no_grad():
        ours, theirs = (held(tokens) for held in (student, teacher))
        ours, theirs = ((one.head.whole() if head else one.logits)[..., :width] for one in (ours, theirs))
    torch.testing.assert_close(found, response.SoftTarget(temperature=1.0)(ours, theirs))


def test_a_network_from_a_configuration_ends_where_its_tokenizer_does(tmp_path):
    path = saved(tmp_path, ENGLISH)
    words = Vocabulary.of(path, ENGLISH)
    network = transformers_causal(config=TINY, vocabulary=len(words), words=words)
    assert network.config.eos_token_id == network.generation_config.eos_token_id == words.end
    trained = transformers_causal(path=path, vocabulary=len(words), words=words)
    assert trained.generation_config.eos_token_id == words.end
