from __future__ import annotations

import json

import pytest

from tutelage.errors import CheckpointError
from tutelage.files import read_json, seal, unseal, write_atomically, write_json


def test_a_mapping_comes_back_without_its_checksum(tmp_path):
    held = {"a": [1, 2.5, None], "sha256": "kept", "b": {"c": float("inf")}}
    write_json(tmp_path / "a.json", held)
    assert read_json(tmp_path / "a.json") == held
    assert "checksum" in json.loads((tmp_path / "a.json").read_text())
    write_json(tmp_path / "list.json", [1, 2])
    assert read_json(tmp_path / "list.json") == [1, 2]


def test_every_flipped_bit_is_named_or_changes_nothing(tmp_path):
    file = tmp_path / "a.json"
    held = {"steps": 24, "best": {"value": 0.123456789}, "why": "it"}
    write_json(file, held)
    whole = file.read_bytes()
    for place in range(len(whole)):
        for bit in (1, 4, 64):
            content = bytearray(whole)
            content[place] ^= bit
            file.write_bytes(content)
            try:
                assert {**read_json(file), **held} == {**held, **_foreign(read_json(file), held)}
            except CheckpointError:
                continue


def _foreign(found, held):
    """What a flip in the checksum's own name leaves behind; the content must then be whole."""
    assert {key: found.get(key) for key in held} == held
    return {key: value for key, value in found.items() if key not in held}


def test_what_has_no_checksum_is_taken_as_it_is():
    assert unseal({"a": 1}) == {"a": 1}
    assert unseal(seal({"a": 1})) == {"a": 1}
    with pytest.raises(ValueError, match="checksum"):
        unseal(seal({"a": 1}) | {"a": 2})


def test_the_advice_is_the_readers(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"truncated or not ours .*; make it again"):
        read_json(tmp_path / "a.json", advice="make it again")


def test_a_link_beside_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("my thesis")
    (tmp_path / ".part.results.json").symlink_to(tmp_path / "mine")
    (tmp_path / "results.json").symlink_to(tmp_path / "mine")
    write_atomically(tmp_path / "results.json", b"{}")
    assert (tmp_path / "mine").read_text() == "my thesis"
    assert not (tmp_path / "results.json").is_symlink()
