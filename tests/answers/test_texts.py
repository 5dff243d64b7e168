from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tutelage.answers import Manifest, Place, Prompt, Text, Texts, holds_text, write_texts
from tutelage.errors import AnswersError

WRITTEN = [
    Text(Prompt("one é", 2).key, "one é", " two\n", 0, 3, True),
    Text(Prompt("", 1).key, "", "", 1, 1, False),
]


def promise(**more) -> Manifest:
    said = {"teacher": "t", "data": {}, "form": "text:8@0", "num_classes": 9, "num_shards": 1}
    return Manifest(**said | more)


def test_texts_come_back_as_they_were(tmp_path):
    promise().begin(Place(tmp_path))
    record = write_texts(Place(tmp_path), 0, WRITTEN)
    content = (tmp_path / "shards" / "000000.parquet").read_bytes()
    assert (record.examples, record.rows, record.nbytes) == (2, 4, len(content))
    assert record.sha256 == hashlib.sha256(content).hexdigest()
    promise().finish(Place(tmp_path))
    assert list(Texts(tmp_path)) == WRITTEN
    assert len(Texts(tmp_path)) == 2
    assert WRITTEN[0].text == "one é two\n"


def test_the_same_texts_are_the_same_bytes(tmp_path):
    for name in "ab":
        write_texts(Place(tmp_path / name), 3, WRITTEN)
    one, other = ((tmp_path / name / "shards" / "000003.parquet").read_bytes() for name in "ab")
    assert one == other


def test_a_key_is_of_the_words_alone():
    assert Prompt("a", 1).key == Prompt("a", 2).key != Prompt("a ", 1).key
    assert len(Prompt("a", 1).key) == 32


def test_what_is_no_finished_text_is_refused(tmp_path):
    assert not holds_text(tmp_path)
    with pytest.raises(AnswersError, match="there are no answers at"):
        Texts(tmp_path)
    promise().begin(Place(tmp_path))
    assert holds_text(tmp_path)
    with pytest.raises(AnswersError, match="is not complete; `tutelage write`"):
        Texts(tmp_path)
    other = Path(tmp_path / "logits")
    promise(form="topk:4@1").begin(Place(other))
    for ask in (Texts, holds_text):
        with pytest.raises(AnswersError, match="holds answers in the form topk:4@1"):
            ask(other)


def test_text_that_is_lost_is_said(tmp_path):
    promise().begin(Place(tmp_path))
    write_texts(Place(tmp_path), 0, WRITTEN)
    promise().finish(Place(tmp_path))
    (tmp_path / "shards" / "000000.parquet").unlink()
    with pytest.raises(AnswersError, match=r"000000\.parquet is missing, or another one than was written"):
        list(Texts(tmp_path))


def test_a_damaged_manifest_of_ours_is_named_and_that_of_others_is_theirs(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "another"}')
    assert not holds_text(tmp_path)
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(AnswersError, match=r"manifest\.json"):
        holds_text(tmp_path)
