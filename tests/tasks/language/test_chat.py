"""Conversations: by the template, the answers alone, one beginning, an end to each."""

from __future__ import annotations

import json

import pytest

from tutelage.data import load_tables
from tutelage.errors import DataError
from tutelage.tasks.language.chat import Talk, ask_by_template, counted_tokens
from tutelage.tasks.language.documents import read_documents
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.vocabulary import Vocabulary

transformers = pytest.importorskip("transformers")

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}<e>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
CHAT = [
    {"role": "user", "content": "who?"},
    {"role": "assistant", "content": "the owl"},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "a cat"},
]


@pytest.fixture(scope="module")
def words():
    from tokenizers import processors

    made = Vocabulary.learnt(["who? the owl and? a cat user assistant"], size=280).tokenizer
    made.add_special_tokens({"bos_token": "<b>", "additional_special_tokens": ["<s>", "<e>"]})
    made.eos_token, made.chat_template = "<e>", TEMPLATE
    begin = ("<b>", made.convert_tokens_to_ids("<b>"))
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<b> $A", special_tokens=[begin]
    )
    return Vocabulary(made)


def learnt(words, talk):
    tokens, counts = counted_tokens(talk, words.tokenizer, words.end)
    return words.tokenizer.decode([t for t, held in zip(tokens, counts, strict=True) if held]), tokens


def test_the_answers_count_with_their_ends_and_nothing_else(words):
    said, tokens = learnt(words, Talk([], CHAT))
    assert said == "the owl<e>a cat<e>"
    assert tokens.count(words.tokenizer.bos_token_id) == 1
    assert tokens[-1] == words.end


def test_of_a_prompt_and_its_completion_the_completion_counts(words):
    assert learnt(words, Talk(CHAT[:3], CHAT[3:]))[0] == "a cat<e>"
    said, tokens = learnt(words, Talk("who? ", "the owl"))
    assert said == " the owl<e>"  # the token has the space of the prompt
    assert tokens.count(words.tokenizer.bos_token_id) == 1


def test_rows_have_labels_for_answers_alone(words):
    rows = Rows(*words.read([Talk([], CHAT), "a cat"]), length=64, padding=words.end)
    batch = rows.batch([0])
    labels = batch.labels[0][batch.mask[0]].tolist()
    assert words.tokenizer.decode(labels) == "the owl<e>a cat<e>a cat<e>"
    other = Rows(words.read([Talk([], CHAT), "a cat"])[0], length=64, padding=words.end)
    assert rows.fingerprint() != other.fingerprint()


def test_a_prompt_by_the_template_begins_once(words):
    text = ask_by_template("who?", words.tokenizer)
    assert text == "<b><s>user\nwho?<e>\n<s>assistant\n"
    (tokens,) = words.begin([text])
    assert tokens.count(words.tokenizer.bos_token_id) == 1


def test_conversations_are_read_from_json_lines_and_from_saved_data_sets(tmp_path):
    import datasets

    file = tmp_path / "chat.jsonl"
    file.write_text("\n".join(json.dumps({"messages": CHAT}) for _ in range(3)))
    found = read_documents(str(file), documents="paragraphs")["train"]
    assert [len(one.completion) for one in found] == [4, 4, 4]
    pairs = datasets.Dataset.from_dict({"prompt": ["who?"] * 2, "completion": [" the owl"] * 2})
    datasets.DatasetDict({"train": pairs, "test": pairs}).save_to_disk(tmp_path / "saved")
    held = read_documents(str(tmp_path / "saved"), documents="whole")
    assert {name: len(split) for name, split in held.items()} == {"train": 2, "test": 2}
    assert held["test"][0].completion == " the owl"
    pairs.save_to_disk(tmp_path / "one")
    assert list(load_tables(str(tmp_path / "one"))) == ["train"]


def test_what_no_template_can_write(words):
    bare = Vocabulary.learnt(["who?"], size=260)
    with pytest.raises(DataError, match="has no chat template"):
        counted_tokens(Talk([], CHAT), bare.tokenizer, bare.end)
    forgets = Vocabulary.learnt(["who?"], size=260).tokenizer
    forgets.chat_template = (
        "{% for m in messages %}{% if loop.last %}{{ m['content'] }}{% endif %}{% endfor %}"
    )
    with pytest.raises(DataError, match="in another way when others follow it"):
        counted_tokens(Talk([], CHAT), forgets, 0)
