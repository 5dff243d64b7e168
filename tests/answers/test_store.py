"""The store: found by content in any order, whole or refused, readable without us."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, load_file

from tutelage.answers import Answers, Manifest, Place, columns_of, damage, form_of, write_shard
from tutelage.data import keys_of
from tutelage.errors import AnswersError
from tutelage.types import Batch, Outputs

CLASSES = 11


def examples(*, sequences: bool, count: int = 20) -> tuple[Batch, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 7, 4) if sequences else (count, 4)
    inputs = torch.randn(shape, generator=generator)
    mask = torch.rand(count, 7, generator=generator) > 0.3 if sequences else None
    weight = 2 * torch.randn(4, CLASSES, generator=generator)
    return Batch(inputs, torch.arange(count), mask=mask), inputs @ weight


def some(batch: Batch, numbers) -> Batch:
    mask = None if batch.mask is None else batch.mask[numbers]
    return Batch(batch.inputs[numbers], batch.ids[numbers], mask=mask)


def store(
    url,
    batch: Batch,
    logits: torch.Tensor,
    text: str = "dense:float32",
    *,
    shards: int = 3,
    compressed: bool = False,
    **features,
) -> Place:
    place, form = Place(url), form_of(text)
    manifest = Manifest("t", {}, form.text, CLASSES, shards, features=dict.fromkeys(features, "float16"))
    manifest.begin(place)
    for number, part in enumerate(torch.arange(len(batch)).chunk(shards)):
        held = Outputs(logits[part], {name: value[part] for name, value in features.items()})
        columns = columns_of([(some(batch, part), held)], form, dict.fromkeys(features, torch.float16))
        write_shard(place, number, columns, compressed=compressed)
    manifest.finish(place)
    return place


@pytest.mark.parametrize("sequences", [False, True])
def test_answers_come_back_in_any_order(tmp_path, sequences):
    batch, logits = examples(sequences=sequences)
    store(tmp_path, batch, logits)
    answers = Answers(tmp_path)
    for seed in range(5):
        order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))[: 3 + 4 * seed]
        asked = some(batch, order)
        held = answers.outputs(asked).logits
        there = slice(None) if asked.mask is None else asked.mask
        assert torch.equal(held[there], logits[order][there])


@pytest.mark.parametrize("text", ["topk:3@1,4", "sampled:12@1"])
def test_sparse_answers_of_sequences_lie_at_their_positions(tmp_path, text):
    batch, logits = examples(sequences=True)
    store(tmp_path, batch, logits, text)
    order = torch.tensor([13, 2, 8, 19])
    asked = some(batch, order)
    sparse = Answers(tmp_path).outputs(asked).sparse
    assert sparse.shape == (4, 7, CLASSES)
    known, tail = sparse.at(1.0)
    assert torch.isneginf(known[~asked.mask]).all()
    total = known.exp().sum(-1) + (0 if tail is None else tail.exp())
    torch.testing.assert_close(total[asked.mask], torch.ones(int(asked.mask.sum())), rtol=1e-3, atol=1e-3)
    true = logits[order].softmax(-1).gather(-1, sparse.classes)
    if tail is not None:
        torch.testing.assert_close(known.exp()[asked.mask], true[asked.mask], rtol=2e-2, atol=1e-3)


def test_features_come_back_in_their_dtype(tmp_path):
    batch, logits = examples(sequences=False)
    hidden = torch.randn(20, 5, 2)
    store(tmp_path, batch, logits, block=hidden)
    order = torch.tensor([4, 19, 0])
    held = Answers(tmp_path).outputs(some(batch, order)).features["block"]
    assert torch.equal(held, hidden[order].half())


def test_a_refused_example_stays_refused(tmp_path):
    batch, logits = examples(sequences=False)
    place, form = Place(tmp_path), form_of("dense:float32")
    manifest = Manifest("t", {}, form.text, CLASSES, 2)
    manifest.begin(place)
    answered = torch.arange(20) % 3 > 0
    for number, part in enumerate(torch.arange(20).chunk(2)):
        held = Outputs(logits[part], mask=answered[part])
        write_shard(place, number, columns_of([(some(batch, part), held)], form, {}))
    manifest.finish(place)
    order = torch.tensor([13, 0, 15, 5, 6, 1])
    assert Answers(tmp_path).outputs(some(batch, order)).mask.tolist() == answered[order].tolist()
    assert Answers(tmp_path).outputs(some(batch, order[:1])).mask is None


def test_answers_of_another_plan_are_not_mixed(tmp_path):
    batch, logits = examples(sequences=False)
    place, form = Place(tmp_path), form_of("dense:float32")
    write_shard(place, 0, columns_of([(batch, Outputs(logits))], form, {}))
    with pytest.raises(AnswersError, match="holds 20 answers where 21 were planned"):
        Manifest("t", {}, form.text, CLASSES, 1, planned=21).finish(place)
    Manifest("t", {}, form.text, CLASSES, 1).begin(place)
    with pytest.raises(AnswersError, match=r"differ in .*precision"):
        Manifest("t", {}, form.text, CLASSES, 1, precision="bfloat16").begin(place)


def test_a_copy_of_remote_answers_is_never_stale(tmp_path):
    batch, logits = examples(sequences=False)
    for number in (1.0, 2.0):
        store("memory://answers-made-again", batch, number * logits)
        answers = Answers("memory://answers-made-again")
        answers.place._cache = tmp_path
        assert torch.equal(answers.outputs(batch).logits, number * logits)


def test_an_example_that_was_never_shown_is_refused(tmp_path):
    batch, logits = examples(sequences=False)
    store(tmp_path, batch, logits)
    other = replace(batch, inputs=batch.inputs.clone())
    other.inputs[3, 0] += 1e-6
    with pytest.raises(
        AnswersError, match=r"1 of 20 examples \(ids 3\) have no answer .* found by their content"
    ):
        Answers(tmp_path).outputs(other)


def test_half_a_key_is_not_enough(tmp_path):
    batch, logits = examples(sequences=False)
    store(tmp_path, batch, logits)
    keys = keys_of(batch)
    keys[7, 1] ^= 1
    with pytest.raises(AnswersError, match=r"1 of 20 examples \(ids 7\)"):
        Answers(tmp_path).outputs(replace(batch, keys=keys))


def test_another_mask_is_refused_and_none_at_all_is_not(tmp_path):
    batch, logits = examples(sequences=True)
    store(tmp_path, batch, logits)
    answers = Answers(tmp_path)
    with pytest.raises(AnswersError, match="the mask of a batch leaves"):
        answers.outputs(replace(batch, mask=torch.ones_like(batch.mask)))
    nothing = answers.outputs(replace(batch, mask=batch.mask & False)).logits
    assert torch.equal(nothing, torch.zeros(20, 7, CLASSES))


def test_a_flipped_byte_is_found_and_named(tmp_path):
    batch, logits = examples(sequences=False)
    place = store(tmp_path, batch, logits)
    assert Answers(tmp_path).damaged() == []
    file = tmp_path / "shards" / "000001.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    (found,) = Answers(tmp_path).damaged()
    assert found.startswith("shards/000001.safetensors is damaged")
    file.write_bytes(content[:-9])
    assert "should have" in damage(place, Answers(tmp_path).manifest.shards[1])
    file.unlink()
    assert "is missing" in damage(place, Answers(tmp_path).manifest.shards[1])


def test_unfinished_answers_are_not_read(tmp_path):
    place = Place(tmp_path)
    manifest = Manifest("t", {}, "dense:float32", CLASSES, 2)
    with pytest.raises(AnswersError, match="no answers at"):
        Answers(tmp_path)
    manifest.begin(place)
    with pytest.raises(AnswersError, match="not complete"):
        Answers(tmp_path)
    with pytest.raises(AnswersError, match=r"lacks shards \[0, 1\]"):
        manifest.finish(place)


def test_answers_of_another_teacher_are_not_gone_on_with(tmp_path):
    Manifest("one", {}, "dense:float32", CLASSES, 2).begin(Place(tmp_path))
    Manifest("one", {}, "dense:float32", CLASSES, 2).begin(Place(tmp_path))
    with pytest.raises(
        AnswersError, match=r"they differ in teacher, form \(dense:float32, and now topk:3@1\);"
    ):
        Manifest("two", {}, "topk:3@1", CLASSES, 2).begin(Place(tmp_path))


def test_what_follows_from_another_form_is_not_said(tmp_path):
    Manifest("one", {}, "dense:float32", CLASSES, 2, shard_examples=10).begin(Place(tmp_path))
    with pytest.raises(
        AnswersError, match=r"they differ in form \(dense:float32, and now topk:3@1\); choose"
    ):
        Manifest("one", {}, "topk:3@1", CLASSES, 1, shard_examples=20).begin(Place(tmp_path))
    with pytest.raises(AnswersError, match=r"they differ in the number of shards, the size of shards"):
        Manifest("one", {}, "dense:float32", CLASSES, 1, shard_examples=20).begin(Place(tmp_path))


def test_a_damaged_or_foreign_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(AnswersError, match="is damaged"):
        Answers(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(AnswersError, match=r"not of the format tutelage.answers.1"):
        Answers(tmp_path)


def test_the_files_are_read_without_us(tmp_path):
    batch, logits = examples(sequences=False)
    store(tmp_path, batch, logits, shards=1)
    held = load_file(tmp_path / "shards" / "000000.safetensors")
    assert torch.equal(held["logits.logits"], logits)
    assert torch.equal(held["keys"], keys_of(batch))
    assert json.loads((tmp_path / "manifest.json").read_text())["form"] == "dense:float32"


def test_the_same_answers_are_the_same_bytes(tmp_path):
    batch, logits = examples(sequences=True)
    for name in ("one", "two"):
        store(tmp_path / name, batch, logits, "sampled:12@1")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_store_behind_a_url(tmp_path):
    batch, logits = examples(sequences=False)
    url = "memory://answers-of-a-test"
    store(url, batch, logits)
    answers = Answers(url)
    answers.place._cache = tmp_path / "cache"
    assert torch.equal(answers.outputs(batch).logits, logits)
    assert answers.damaged() == []
    with pytest.raises(AnswersError, match="cannot be reached"):
        Place("nosuch://answers")


def test_damage_is_found_before_it_is_learnt(tmp_path):
    batch, logits = examples(sequences=False)
    place = store(tmp_path, batch, logits)
    name = Answers(tmp_path).manifest.shards[1].name
    content = bytearray(place.read(name))
    content[-3] ^= 1
    place.write(name, bytes(content))
    with pytest.raises(AnswersError, match=r"1 of \d+ files of .*000001\.safetensors is damaged.*--repair"):
        Answers(tmp_path).outputs(batch)
    assert Answers(tmp_path, trusted=True).outputs(batch).logits is not None
    place.write(name, bytes(content[:-1]))
    with pytest.raises(AnswersError, match="bytes and should have"):
        Answers(tmp_path, trusted=True).outputs(batch)


def test_a_damaged_copy_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Place.__init__, "__kwdefaults__", {"cache": tmp_path / "cache"})
    batch, logits = examples(sequences=False)
    place = store(f"memory://{tmp_path.name}-damaged", batch, logits)
    name = Answers(place.url).manifest.shards[0].name
    content = bytearray(place.read(name))
    content[-3] ^= 1
    place.write(name, bytes(content))
    with pytest.raises(AnswersError, match="SHA-256"):
        Answers(place.url).outputs(batch)
    assert not list((tmp_path / "cache").rglob("000000*"))


@pytest.mark.parametrize("remote", [False, True])
def test_compressed_shards_are_smaller_and_say_the_same(tmp_path, monkeypatch, remote):
    monkeypatch.setattr(Place.__init__, "__kwdefaults__", {"cache": tmp_path / "cache"})
    batch, logits = examples(sequences=False)
    logits = logits.round()
    url = f"memory://{tmp_path.name}" if remote else tmp_path / "packed"
    store(tmp_path / "plain", batch, logits)
    place = store(url, batch, logits, compressed=True)
    plain, packed = Answers(tmp_path / "plain"), Answers(url)
    assert packed.manifest.nbytes < plain.manifest.nbytes
    assert torch.equal(packed.outputs(batch).logits, plain.outputs(batch).logits)
    record = packed.manifest.shards[0]
    held = load(gzip.decompress(place.read(record.name)))  # readable without us
    assert torch.equal(held["keys"], plain.shards[0].columns["keys"])


def test_a_compressed_shard_that_is_cut_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Place.__init__, "__kwdefaults__", {"cache": tmp_path / "cache"})
    batch, logits = examples(sequences=False)
    place = store(f"memory://{tmp_path.name}-cut", batch, logits, compressed=True)
    record = Answers(place.url).manifest.shards[1]
    place.write(record.name, place.read(record.name)[:-20])
    with pytest.raises(AnswersError, match=r"000001\.safetensors\.gz has .* bytes and should have"):
        Answers(place.url).outputs(batch)
    content = place.read(record.name)
    place.write(record.name, content + bytes(record.nbytes - len(content)))  # its size is right again
    with pytest.raises(AnswersError, match=r"000001\.safetensors\.gz cannot be unpacked"):
        Answers(place.url).outputs(batch)
    assert not list((tmp_path / "cache").rglob("000001*"))


def test_two_examples_of_one_content_share_an_answer(tmp_path):
    batch, logits = examples(sequences=False, count=4)
    twice = torch.tensor([0, 1, 1, 3])
    doubled = Batch(batch.inputs[twice], batch.ids)
    store(tmp_path, doubled, logits[twice], shards=2)
    assert torch.equal(Answers(tmp_path).outputs(doubled).logits, logits[twice])
