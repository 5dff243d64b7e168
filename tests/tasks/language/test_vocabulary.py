from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from transformers import PreTrainedTokenizerFast

from tutelage.errors import CheckpointError, DataError, RecipeError, UnknownName
from tutelage.tasks.language.documents import Unfinished
from tutelage.tasks.language.vocabulary import END, Vocabulary

TEXTS = ["low lower lowest", "new newer newest", "wide wider widest ü"] * 3


@pytest.fixture(scope="module")
def words():
    return Vocabulary.learnt(TEXTS, size=300)


def test_a_text_is_ended_and_comes_back(words):
    tokens, empty = words.encode(["lower ünder", ""])
    assert tokens[-1] == words.end
    assert empty.tolist() == [words.end]
    assert words.tokenizer.decode(tokens[:-1]) == "lower ünder"
    assert words.tokenizer.decode([words.end]) == END
    assert 257 < len(words) <= 300
    assert len(words.encode(["lowest"])[0]) < 7


def test_what_is_cut_off_or_to_be_gone_on_from_has_no_end(words):
    (whole,), (cut,), (begun,) = (
        words.encode(["lower"]),
        words.encode([Unfinished("lower")]),
        words.begin(["lower"]),
    )
    assert whole.tolist() == [*cut.tolist(), words.end]
    assert cut.tolist() == begun
    assert words.decode(whole) == "lower"


def test_byte_lengths_add_up(words):
    (tokens,) = words.encode(["newest ü 你好"])
    assert int(words.byte_lengths()[tokens].sum()) == len("newest ü 你好".encode())
    assert int(words.byte_lengths()[words.end]) == 0


@pytest.mark.slow
def test_the_same_texts_give_the_same_tokens_in_any_process(words):
    code = (
        "import hashlib, sys; from tutelage.tasks.language.vocabulary import Vocabulary\n"
        f"held = Vocabulary.learnt({TEXTS!r}, size=300).tokenizer.backend_tokenizer.to_str()\n"
        "print(hashlib.sha256(held.encode()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held = words.tokenizer.backend_tokenizer.to_str()
    assert done.stdout.split()[-1] == hashlib.sha256(held.encode()).hexdigest()


def test_a_tokenizer_from_a_folder(words, tmp_path):
    words.tokenizer.save_pretrained(tmp_path)
    again = Vocabulary.of(str(tmp_path), [])
    assert again.encode(["wider"])[0].tolist() == words.encode(["wider"])[0].tolist()
    assert (again.end, len(again)) == (words.end, len(words))
    assert again.byte_lengths().tolist() == words.byte_lengths().tolist()


def test_a_tokenizer_that_sets_its_own_end_gets_no_second_one(words):
    from tokenizers import processors

    words = Vocabulary.learnt(TEXTS, size=300)
    words.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, words.end)]
    )
    assert words.encode(["low"])[0].tolist().count(words.end) == 1


def test_tokenizers_that_will_not_do(words, tmp_path):
    with pytest.raises(RecipeError, match="expected at least 257"):
        Vocabulary.of({"bpe": 100}, TEXTS)
    with pytest.raises(UnknownName, match="unknown tokenizer 'bpee'"):
        Vocabulary.of({"bpee": 300}, TEXTS)
    with pytest.raises(CheckpointError, match="there is nothing at /nowhere"):
        Vocabulary.of("/nowhere", TEXTS)
    with pytest.raises(CheckpointError, match="cannot read a tokenizer"):
        Vocabulary.of(str(tmp_path), TEXTS)
    endless = PreTrainedTokenizerFast(tokenizer_object=words.tokenizer.backend_tokenizer)
    with pytest.raises(DataError, match="has no end-of-text token"):
        Vocabulary(endless)
