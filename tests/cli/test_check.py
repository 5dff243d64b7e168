from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tutelage.cli.check import _words

SHORT = ["--set", "teacher.train.epochs=1", "--set", "stages.0.train.epochs=2", "--cpu"]


@pytest.mark.slow
def test_a_check_forecasts_and_leaves_nothing_behind(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    answer = cli("check", "vision/digits", *SHORT, "--seeds", "4", "--json")
    assert answer.code == 0, answer.stderr
    found = answer.json
    assert set(found) == {
        "recipe",
        "seeds",
        "arms",
        "seconds",
        "memory_bytes",
        "memory_is",
        "disk_bytes",
        "disk_free_bytes",
        "answers",
        "warnings",
    }
    assert (found["recipe"], found["seeds"]) == ("vision/digits", [0, 1, 2, 3])
    assert {name: arm["steps"] for name, arm in found["arms"].items()} == {
        "teacher": 16,
        "control": 4 * 32,
        "placebo": 4 * 32,
        "student": 4 * 32,
    }
    assert not [path for path in tmp_path.rglob("*") if path.is_file() or "tutelage" in path.name]
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_check_says_so_in_words(cli):
    answer = cli("check", "vision/digits", *SHORT)
    assert answer.code == 0
    assert "everything builds; one step of each arm works" in answer.stdout
    for word in ("teacher", "control", "student", "Time", "Memory", "Disk", "seconds"):
        assert word in answer.stdout


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("student.model.widths=[0]", 1, "widths[0]"),
        ("student.model.num_classes=7", 1, "answers with 7 classes, and 10 are told apart"),
        ("stages.0.optimizers.studnet=adamw", 2, "studnet"),
        ("stages.0.optimizers.student.adamw.lr=-1", 2, "AdamW refused"),
        ("task.data=/nowhere", 1, "there is nothing at /nowhere"),
        ("task.data=sklearn.digit", 2, "Nearest: 'digits'"),
    ],
)
def test_what_does_not_work_is_said_before_a_run(cli, change: str, code: int, said: str):
    answer = cli("check", "vision/digits", *SHORT, "--set", change)
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith("error: ")
    assert said in answer.stderr


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "under 1 second"),
        (1.0, "about 1 second"),
        (2.5, "about 2.5 seconds"),
        (62, "about 62 seconds"),
        (204, "about 3.4 minutes"),
        (3600, "about 60 minutes"),
        (7200, "about 2 hours"),
        (300_000, "about 3 days"),
    ],
)
def test_lengths_of_time_are_said_in_words(seconds: float, said: str):
    assert _words(seconds) == said
