"""The folder of a run: whose it is, and whether it is as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tutelage.errors import CheckpointError, OutputError
from tutelage.locks import owned
from tutelage.runs.folder import RunFolder, check_sum

IDENTITY = {"name": "it", "seeds": [0], "recipe": {}}


def test_a_lock_is_no_other_file(tmp_path: Path):
    with owned(tmp_path, doing="a run"):
        assert RunFolder(tmp_path, IDENTITY, resume=False).looks == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    with pytest.raises(OutputError, match="holds other files and no run"):
        RunFolder(tmp_path / "other", IDENTITY, resume=False)


def test_what_is_handed_over_is_listed_and_held_against_the_list(tmp_path: Path):
    folder = RunFolder(tmp_path, IDENTITY, resume=False)
    folder.write("results.json", "{}")
    folder.write("scores/student.safetensors", "scores")
    folder.write_sums()
    listed = [line[66:] for line in (tmp_path / "SHA256SUMS").read_text().splitlines()]
    assert listed == ["results.json", "scores/student.safetensors"]
    check_sum(tmp_path, "results.json")
    folder.write("results.json", "{ }")
    with pytest.raises(CheckpointError, match=r"results\.json is not as it was written"):
        check_sum(tmp_path, "results.json")
    RunFolder(tmp_path, IDENTITY, resume=True)  # writes it anew
    check_sum(tmp_path, "results.json")


def test_a_flipped_byte_in_the_mark_is_named(tmp_path: Path):
    RunFolder(tmp_path, IDENTITY, resume=False)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace("0", "1", 1))
    with pytest.raises(CheckpointError, match=r"checksum.*restore it from a copy"):
        RunFolder(tmp_path, IDENTITY, resume=True)
