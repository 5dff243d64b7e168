"""Tokenizers learnt from texts, and read from a folder."""

from __future__ import annotations

import pytest

from tutelage.errors import CheckpointError
from tutelage.tasks.text.learnt_words import SPECIAL
from tutelage.tasks.text.words import WordList

pytest.importorskip("transformers")

TEXTS = ["The cat sat on the mat", "a dog ran over the hill", "unbelievably lovely weather"] * 3


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "words"])
def test_the_same_texts_give_the_same_tokens(kind):
    one, two = (WordList.learnt(TEXTS, kind=kind, size=400) for _ in range(2))
    assert one.tokenizer.get_vocab() == two.tokenizer.get_vocab()
    assert one.tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL.values())
    tokens, kinds = one.encode(["THE CAT", ""], ["a dog", "x"], length=32)
    words = one.tokenizer.convert_ids_to_tokens(tokens[0])
    assert (words[0], words[-1], words.count("[SEP]")) == ("[CLS]", "[SEP]", 2)
    assert kinds[0][-1] == 1
    assert one.tokenizer.decode(tokens[0], skip_special_tokens=True).split() == ["the", "cat", "a", "dog"]


def test_a_saved_tokenizer_is_read_as_it_was(tmp_path):
    one = WordList.learnt(TEXTS, kind="wordpiece", size=400)
    one.tokenizer.save_pretrained(tmp_path)
    two = WordList.of(str(tmp_path), TEXTS)
    assert (two.place, two.padding, two.mask, two.special) == (str(tmp_path), 0, 4, [0, 1, 2, 3, 4])
    for texts, pairs in ((TEXTS[:2], None), (TEXTS[:2], TEXTS[1:3])):
        assert one.encode(texts, pairs, length=8) == two.encode(texts, pairs, length=8)
    with pytest.raises(CheckpointError, match="nothing at"):
        WordList.of(str(tmp_path / "elsewhere"), TEXTS)


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "words"])
def test_capitals_and_accents_are_told_apart_where_that_is_asked_for(kind):
    texts = ["Über den Fluss", "über die Brücke"] * 3
    for cased in (True, False):
        words = WordList.learnt(texts, kind=kind, size=400, cased=cased)
        upper, lower = words.encode_targets(["Über", "über"], length=8)
        assert (upper != lower) is cased
        assert words.decode([upper])[0] == ("Über" if cased else "uber")
        assert words.begin != words.end
