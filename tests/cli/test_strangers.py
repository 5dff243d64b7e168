"""What a stranger sends, at the command line; nothing is trained here."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tutelage.cli import output
from tutelage.files import write_json
from tutelage.runs.folder import RunFolder

RECIPE = """
task: {tabular.classification: {data: sklearn.iris}}
teacher: virtual
student: {model: {"os:system": {command: "touch RAN"}}}
stages: [{scheme: alone, optimizers: {student: adamw}, train: {epochs: 1}}]
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that names a command; it lies in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    folder = Path("theirs")
    run = RunFolder(folder, {"name": "theirs", "seeds": [0], "recipe": {}}, resume=False)
    run.write("recipe.yaml", RECIPE)
    run.write("results.json", json.dumps({"primary": "student"}))
    (folder / "student.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    return folder


@pytest.mark.parametrize("verb", ["check", "run"])
def test_a_recipe_runs_nothing(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str):
    monkeypatch.chdir(tmp_path)
    Path("r.yaml").write_text(RECIPE)
    answer = cli(verb, "r.yaml", "--cpu")
    assert answer.code == 2
    assert "model 'os:system' names code outside tutelage" in answer.stderr
    assert "add --allow os (in Python" in answer.stderr
    assert not Path("RAN").exists()
    answer = cli(verb, "r.yaml", "--cpu", "--allow", "os")
    assert answer.code == 2
    assert "expected a class or function that gives a Module" in answer.stderr
    assert not Path("RAN").exists()


def test_show_imports_nothing(cli, tmp_path: Path):
    (tmp_path / "r.yaml").write_text(RECIPE.replace("os:system", "no.such.module:Name"))
    answer = cli("show", tmp_path / "r.yaml")
    assert answer.code == 0
    assert "no.such.module:Name" in answer.stdout


@pytest.mark.parametrize("words", [["evaluate", "--cpu"], ["export", "--format", "safetensors"]])
def test_the_folder_of_a_run_runs_nothing(cli, theirs: Path, words: list[str]):
    answer = cli(words[0], theirs, *words[1:])
    assert answer.code == 2
    assert "add --allow os" in answer.stderr
    assert not Path("RAN").exists()


def test_what_is_typed_is_said(cli, theirs: Path):
    answer = cli("evaluate", theirs, "--cpu", "--set", "student.model={no_such_module:Net: {}}")
    assert "cannot import 'no_such_module'" in answer.stderr


@pytest.mark.parametrize("name", ["report.html", "export", "deep"])
def test_links_that_lead_out_are_refused(cli, theirs: Path, name: str):
    Path("thesis").write_text("my thesis")
    (theirs / name).symlink_to("../thesis")
    for words in (["report", theirs], ["export", theirs, "--format", "safetensors"], ["evaluate", theirs]):
        answer = cli(*words)
        assert answer.code == 1
        assert f"holds a link, {name} to ../thesis" in answer.stderr
    assert Path("thesis").read_text() == "my thesis"


def test_a_file_that_is_not_as_it_was_written_is_named(cli, theirs: Path):
    run = RunFolder(theirs, {"name": "theirs", "seeds": [0], "recipe": {}}, resume=True)
    run.write_sums()
    (theirs / "recipe.yaml").write_text(RECIPE + "seeds: 2\n")
    answer = cli("evaluate", theirs)
    assert answer.code == 1
    assert "recipe.yaml is not as it was written" in answer.stderr
    assert "delete theirs/SHA256SUMS" in answer.stderr


def test_a_lost_mark_has_advice_that_can_be_followed(cli, theirs: Path):
    (theirs / "run.json").write_text("{")
    answer = cli("evaluate", theirs)
    assert answer.code == 1
    assert "restore it from a copy" in answer.stderr
    assert "delete it" not in answer.stderr
    write_json(theirs / "run.json", {"name": "[/x]"})


def test_brackets_and_escapes_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]):
    from rich.table import Table

    table = Table()
    table.add_column("[/a]")
    table.add_row("[bold]b\x1b[2J")
    output.print_rich("in [/] \x1b]0;title\x07", table)
    output.say("error: [/x] \x1b[2J")
    shown = capsys.readouterr()
    assert r"in [/] \x1b]0;title\x07" in shown.out
    assert "[/a]" in shown.out
    assert r"[bold]b\x1b[2J" in shown.out
    assert shown.err == "error: [/x] \\x1b[2J\n"
    assert "\x1b" not in shown.out
