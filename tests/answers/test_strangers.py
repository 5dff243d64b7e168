"""Stores from anybody: nothing is written outside, or unpacked past a limit."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
from pathlib import Path

import pytest
import torch

from tutelage.answers import Answers, Manifest, Place, columns_of, form_of, write_shard
from tutelage.errors import AnswersError, OutputError
from tutelage.files import seal
from tutelage.labelling.prepare import refuse_run, working_at
from tutelage.trust import limits
from tutelage.types import Batch, Outputs


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished store of one packed shard, and a cache of its own."""
    monkeypatch.setattr(Place.__init__, "__kwdefaults__", {"cache": tmp_path / "cache"})
    place, form = Place(tmp_path / "store"), form_of("dense:float32")
    manifest = Manifest("t", {}, form.text, 3, 1, compressed=True)
    manifest.begin(place)
    batch = Batch(torch.randn(5, 2), torch.arange(5))
    columns = columns_of([(batch, Outputs(torch.zeros(5, 3)))], form, {})
    write_shard(place, 0, columns, compressed=True)
    manifest.finish(place)
    return tmp_path / "store"


def say(store: Path, **changes: object) -> None:
    """Change the first record of a manifest, as a stranger could."""
    held = json.loads((store / "manifest.json").read_text())
    held["shards"][0].update(changes)
    (store / "manifest.json").write_text(json.dumps(seal(held)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "/etc/passwd"}, "leads out of its folder"),
        ({"name": "../../x.gz"}, "leads out of its folder"),
        ({"sha256": "/home/me/.ssh"}, "64 hexadecimal digits"),
        ({"sha256": "../../x"}, "64 hexadecimal digits"),
        ({"nbytes": -1}, "counts that are none"),
        ({"rows": "many"}, "counts that are none"),
        ({"more": 1}, "a form of another version"),
    ],
)
def test_a_list_that_leads_out_is_refused(packed: Path, changes: dict[str, object], said: str):
    say(packed, **changes)
    with pytest.raises(AnswersError, match=said):
        Answers(packed, trusted=True)


@pytest.mark.parametrize(
    "came", [[], {}, 3, {"format": "tutelage.answers.1"}, {"format": "tutelage.answers.1", "x": 1}]
)
def test_what_is_no_manifest_is_said(packed: Path, came: object):
    (packed / "manifest.json").write_text(json.dumps(came))
    with pytest.raises(AnswersError, match=r"not of the format|is damaged, or of another version"):
        Answers(packed)


def test_a_manifest_with_a_flipped_byte_is_named(packed: Path):
    text = (packed / "manifest.json").read_text()
    (packed / "manifest.json").write_text(text.replace('"num_classes": 3', '"num_classes": 2'))
    with pytest.raises(AnswersError, match=r"manifest\.json is damaged .*checksum"):
        Answers(packed)


def test_a_shard_that_unpacks_past_its_limit_leaves_nothing(packed: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(limits, "_ALWAYS", 1000)
    bomb = gzip.compress(bytes(10_000_000))
    (packed / "shards/000000.safetensors.gz").write_bytes(bomb)
    say(packed, nbytes=len(bomb), sha256=hashlib.sha256(bomb).hexdigest())
    with pytest.raises(AnswersError, match="unpacks to more than"):
        _ = Answers(packed).shards
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_many_readers_unpack_once(packed: Path, monkeypatch):
    unpacked, real = [], Place._unpack
    monkeypatch.setattr(Place, "_unpack", lambda *words: (unpacked.append(1), real(*words)))
    found: list[int] = []
    readers = [threading.Thread(target=lambda: found.append(len(Answers(packed).shards))) for _ in range(8)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
    assert (found, unpacked) == ([1] * 8, [1])


def test_a_copy_that_changed_is_made_again(packed: Path, tmp_path: Path):
    wanted = Answers(packed).shards[0].columns["keys"].clone()
    (copy,) = (tmp_path / "cache").rglob("*.safetensors")
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(bytes(content))
    assert torch.equal(Answers(packed).shards[0].columns["keys"], wanted)
    assert copy.read_bytes() != bytes(content)


@pytest.mark.parametrize(
    "url", ["reference::/tmp/refs.json", "reference://x", "simplecache::file:///tmp", "dask://x", "jlab://a"]
)
def test_ways_that_do_more_than_read_are_refused(url: str):
    with pytest.raises(AnswersError, match="cannot be reached"):
        Place(url)


def test_a_folder_with_colons_is_a_folder(tmp_path: Path):
    assert Place(tmp_path / "a:b").local == tmp_path / "a:b"


class _Main:
    is_main = True


def test_answers_do_not_go_into_the_folder_of_a_run(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(OutputError, match=r"holds a run \(run\.json\), and its teacher"):
        refuse_run(Place(tmp_path))
    os.rename(tmp_path / "run.json", tmp_path / "other.json")
    (tmp_path / "shards").symlink_to("/")
    with pytest.raises(OutputError, match="a link, shards to /"):
        refuse_run(Place(tmp_path))


def test_a_store_has_one_owner(tmp_path: Path):
    place = Place(tmp_path)
    with (
        working_at(place, _Main(), doing="a labelling"),  # type: ignore[arg-type]
        pytest.raises(OutputError, match="in use: a labelling goes on there"),
    ):
        working_at(place, _Main(), doing="a labelling").__enter__()  # type: ignore[arg-type]
    with working_at(Place("memory://nobody"), _Main(), doing="a labelling"):  # type: ignore[arg-type]
        pass
