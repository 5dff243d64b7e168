"""What a tiny network writes: the same in any company, drawn as the softmax says, ended where it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tutelage.answers import Prompt, Sampling
from tutelage.errors import DataError, ModelError
from tutelage.tasks.language.models import transformers_causal
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.vocabulary import BROKEN, Vocabulary
from tutelage.tasks.language.writing import Author, OwnNoise

TINY = {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 48, "initializer_range": 0.3}
DOCUMENTS = [
    "the owl saw a cat, and ran",
    "one dog",
    "that elk saw the owl — é",
    "a cat ran from one dog to an elk",
]
DRAWN = Sampling(tokens=8, sampling_temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return Vocabulary.learnt(DOCUMENTS, size=290)


@pytest.fixture(scope="module")
def author(words) -> Author:
    return Author(words, Rows(words.encode(DOCUMENTS), length=16, padding=words.end))


def network(words, **settings) -> nn.Module:
    torch.manual_seed(0)
    return transformers_causal(config=TINY, vocabulary=len(words), length=64, **settings).eval()


def asked(author: Author, *texts: str) -> list[tuple[Prompt, int]]:
    return [(Prompt(text, len(ids)), 0) for text, ids in zip(texts, author.words.begin(texts), strict=True)]


@pytest.mark.parametrize("sampling", [Sampling(tokens=12), DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("head", [False, True])
def test_what_is_written_does_not_depend_on_the_batch(author, sampling, head):
    writer = network(author.words, head=head)
    four = asked(author, *DOCUMENTS)
    together = author.write(writer, four, sampling)
    alone = [author.write(writer, [one], sampling)[0] for one in four]
    turned = author.write(writer, four[::-1], sampling)[::-1]
    assert together == alone == turned
    assert len({one.continuation for one in together}) == 4


def test_greedy_text_is_the_likeliest_token_each_time(author):
    writer = network(author.words)
    (found,) = author.write(writer, asked(author, "the owl"), Sampling(tokens=6))
    ids = author.words.begin(["the owl"])[0]
    for _ in range(6):
        with torch.no_grad():
            ids.append(int(writer(torch.tensor([ids])).logits[0, -1].argmax()))
    assert found.text == author.words.decode(ids).rstrip(BROKEN)
    assert (found.tokens, found.finished) == (6, False)


def test_samples_and_seeds_differ_and_come_back(author):
    writer = network(author.words)
    (prompt, _), *_ = asked(author, "the owl")
    three = author.write(writer, [(prompt, number) for number in range(3)], DRAWN)
    assert len({one.continuation for one in three}) == 3
    assert author.write(writer, [(prompt, 2)], DRAWN) == three[2:]
    other = Sampling(tokens=8, sampling_temperature=1.0, seed=4)
    assert author.write(writer, [(prompt, 2)], other)[0].continuation != three[2].continuation


def test_noise_draws_from_the_softmax():
    shares = torch.tensor([0.5, 0.3, 0.2, 0.0])
    noise = OwnNoise([f"0 {row}" for row in range(4000)])
    found = noise(torch.zeros(4000, 1), shares.log().expand(4000, 4)).argmax(-1)
    np.testing.assert_allclose(found.bincount(minlength=4) / 4000, shares, atol=0.03)
    assert noise(torch.zeros(4000, 1), shares.log().expand(4000, 4)).argmax(-1).ne(found).any()


def test_a_small_share_is_the_likeliest_text(author):
    writer = network(author.words)
    least = Sampling(tokens=8, sampling_temperature=1.0, top_p=1e-6)
    both = [author.write(writer, asked(author, "a cat"), one)[0] for one in (least, Sampling(tokens=8))]
    assert both[0] == both[1]


def test_text_ends_with_the_end_token(author):
    writer = network(author.words)
    ids = author.words.begin(["the owl"])[0]
    with torch.no_grad():
        hidden = writer.model(torch.tensor([ids])).last_hidden_state[0, -1]
        writer.lm_head.weight[author.words.end] = 100 * hidden
    (found,) = author.write(writer, asked(author, "the owl"), Sampling(tokens=8))
    assert (found.continuation, found.tokens, found.finished) == ("", 1, True)


def test_letters_that_are_cut_are_left_out(author):
    writer = network(author.words)
    half = author.words.begin(["ö"])[0]
    assert len(half) == 2
    writer.generate = lambda inputs, **_: torch.cat([inputs, torch.tensor([[half[0]]])], 1)
    (found,) = author.write(writer, asked(author, "the owl"), Sampling(tokens=1))
    assert (found.text, found.tokens) == ("the owl", 1)


def test_a_network_is_left_as_it_was(author):
    writer = network(author.words, head=True).train()
    kind, settings = type(writer), writer.generation_config
    writer.generation_config.repetition_penalty = 5.0  # of a checkpoint's own; it is no part of what is asked
    plain = author.write(network(author.words), asked(author, *DOCUMENTS), Sampling(tokens=8))
    assert author.write(writer, asked(author, *DOCUMENTS), Sampling(tokens=8)) == plain
    assert type(writer) is kind
    assert writer.generation_config is settings
    assert writer.training
    writer.generate = None
    with pytest.raises(TypeError):
        author.write(writer, asked(author, *DOCUMENTS), DRAWN)
    assert type(writer) is kind
    assert writer.generation_config is settings


def test_openings_are_the_first_tokens_of_each_document(author):
    found = author.prompts(None, 4)
    assert len(found) == 4
    for prompt, document in zip(found, DOCUMENTS, strict=True):
        assert document.startswith(prompt.text)
        assert prompt.length <= 4
    assert [one.text for one in author.prompts(None, 400)] == DOCUMENTS


def test_an_opening_that_cuts_a_letter_stops_before_it(words):
    author = Author(words, Rows(words.encode(["öö"]), length=8, padding=words.end))
    assert [one.text for one in author.prompts(None, 3)] == ["ö"]


def test_prompts_come_from_files(author, tmp_path):
    import datasets

    (tmp_path / "p.txt").write_text("the owl\n\n a cat\n")
    assert [one.text for one in author.prompts(str(tmp_path / "p.txt"), 4)] == ["the owl", " a cat"]
    datasets.Dataset.from_dict({"text": ["x", "y"], "prompt": ["the", "a"]}).to_parquet(
        tmp_path / "p.parquet"
    )
    assert [one.text for one in author.prompts(str(tmp_path / "p.parquet"), 4)] == ["the", "a"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b" \n", "there is no prompt in"),
        ("b.txt", b"\xff\xfe", "cannot be read"),
        ("c.csv", b"prompt\n1\n2\n", "hold 1, and text or messages were expected"),
        ("d.csv", b"words\nx\n", "has the columns words; expected one named prompt, messages or text"),
        ("e.txt", b"<|endoftext|>\n", "has no tokens"),
        ("f.txt", None, "there is no file"),
    ],
)
def test_prompts_that_cannot_be_used(author, tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        author.prompts(str(tmp_path / name), 4)


def test_networks_that_cannot_write_are_refused(author, words):
    with pytest.raises(ModelError, match="Linear has no `generate` of Transformers"):
        author.check(nn.Linear(2, 2), 4, 4)
    small = transformers_causal(config=TINY | {"max_position_embeddings": 16}, vocabulary=len(words))
    author.check(small, 8, 8)
    with pytest.raises(ModelError, match="prompts of up to 9 tokens and 8 after them came, and PackedLlama"):
        author.check(small, 9, 8)
    with pytest.raises(ModelError, match="knows 20 tokens and the tokenizer"):
        author.check(transformers_causal(config=TINY, vocabulary=20), 4, 4)
