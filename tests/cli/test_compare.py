"""`tutelage compare`."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

pytestmark = pytest.mark.slow


def test_runs_are_put_side_by_side(cli, done, run_dir, tmp_path):
    mark = json.loads((run_dir / "run.json").read_text())
    mark["recipe"]["stages"][0]["scheme"]["offline"]["matches"][0]["temperature"] = 7
    (run_dir / "run.json").write_text(json.dumps(mark))
    answer = cli("compare", done[0], run_dir, "--json")
    assert answer.code == 0, answer.stderr
    found = answer.json
    assert [each["label"] for each in found["settings"]] == ["temperature"]
    across = found["comparisons"][0]
    assert across["verdict"]["difference"] == 0
    assert across["flips"]["right"] == across["flips"]["wrong"] == []
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.csv"
    answer = cli("compare", done[0], run_dir, "--out", page, "--csv", sheet)
    assert answer.code == 0
    assert f"wrote {page}" in answer.stderr
    assert "temperature" in answer.stdout
    assert "temperature" in page.read_text()
    assert len(list(csv.DictReader(sheet.read_text().splitlines()))) > 3


def test_a_run_keeps_the_scores_of_its_examples(done):
    from tutelage.runs.scores import read_scores

    folder, answer = done
    for name in ("control", "student"):
        scores = read_scores(folder, name)
        assert scores is not None
        assert scores.values.shape == (2, 539)
        expected = answer.json["outcomes"][name]["quality"]["accuracy"]["per_seed"]
        assert scores.values.mean(1).tolist() == pytest.approx(expected)
        assert len(set(scores.ids.tolist())) == 539


def test_wrong_use_is_said(cli, done, tmp_path):
    answer = cli("compare", done[0])
    assert (answer.code, answer.stdout) == (2, "")
    assert "two or more folders" in answer.stderr
    answer = cli("compare", done[0], tmp_path)
    assert answer.code == 1
    assert "holds no run" in answer.stderr
    shutil.copytree(done[0], tmp_path / "other")
    assert cli("compare", done[0], tmp_path / "other", "--against", "none").code == 2
