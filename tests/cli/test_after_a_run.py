"""The verbs that read a finished run."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

pytestmark = pytest.mark.slow


def test_evaluate_finds_the_numbers_of_the_run(cli, done, run_dir: Path):
    expected = done[1].json
    answer = cli("evaluate", run_dir, "--weights", run_dir / "seed1/student/student.safetensors", "--json")
    assert answer.code == 0, answer.stderr
    found = answer.json
    assert set(found) == {"recipe", "weights", "split", "examples", "quality", "calibration", "cost"}
    assert (found["recipe"], found["split"], found["examples"]) == ("vision/digits", "test", 539)
    for metric, held in expected["student"]["quality"].items():
        assert found["quality"][metric]["per_seed"] == held["per_seed"][1:]
    assert found["cost"]["parameters"] == expected["student"]["cost"]["parameters"]


def test_evaluate_takes_the_runs_student_and_another_split(cli, run_dir: Path):
    found = cli("evaluate", run_dir, "--split", "validation", "--json").json
    assert (found["split"], found["examples"]) == ("validation", 252)
    assert found["weights"] == str(run_dir / "student.safetensors")


def test_evaluate_prints_a_table(cli, run_dir: Path):
    answer = cli("evaluate", run_dir)
    assert answer.code == 0
    for word in ("Accuracy", "Calibration error", "Parameters", "Latency, batch of 32", "on the test split"):
        assert word in answer.stdout


def test_evaluate_takes_a_recipe_with_weights(cli, run_dir: Path):
    weights = run_dir / "student.safetensors"
    found = cli("evaluate", "vision/digits", "--weights", weights, "--json")
    assert found.json["quality"] == cli("evaluate", run_dir, "--json").json["quality"]
    answer = cli("evaluate", "vision/digits")
    assert answer.code == 2
    assert "say which --weights" in answer.stderr


def test_evaluate_refuses_what_is_no_whole_safetensors_file_of_this_network(cli, run_dir: Path):
    weights = run_dir / "student.safetensors"
    bad = run_dir / "bad"
    bad.mkdir()
    (bad / "code.safetensors").write_bytes(pickle.dumps(print))
    torch.save({"head.bias": torch.zeros(10)}, bad / "torch.safetensors")
    (bad / "cut.safetensors").write_bytes(weights.read_bytes()[:-10])
    (bad / "empty.safetensors").write_bytes(b"")
    save_file({"other": torch.zeros(3)}, bad / "other.safetensors")
    for file in (*sorted(bad.iterdir()), run_dir / "results.json", bad / "none.safetensors"):
        answer = cli("evaluate", run_dir, "--weights", file)
        assert (answer.code, answer.stdout) == (1, ""), file
        assert answer.stderr.startswith("error: ")
        assert str(file) in answer.stderr


def test_a_folder_without_a_finished_run_is_said(cli, run_dir: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (run_dir / "results.json").unlink()
    for verb in (["report"], ["export", "--format", "onnx"]):
        answer = cli(*verb, run_dir)
        assert answer.code == 1
        assert "its run is not finished; go on with tutelage run" in answer.stderr
        assert "holds no run" in cli(*verb, tmp_path / "empty").stderr
        assert "there is no folder" in cli(*verb, tmp_path / "none").stderr
    assert "holds no run" in cli("evaluate", tmp_path / "empty").stderr


def test_a_run_of_python_code_cannot_be_rebuilt_and_says_so(cli, run_dir: Path):
    (run_dir / "recipe.yaml").write_text("call: tutelage.distill\n")
    answer = cli("evaluate", run_dir)
    assert answer.code == 1
    assert "was written by tutelage.distill" in answer.stderr


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("safetensors", ".safetensors"),
        ("torch_export", ".pt2"),
        pytest.param("onnx", ".onnx", marks=pytest.mark.slow),
    ],
)
def test_export_writes_each_format(cli, run_dir: Path, name: str, suffix: str):
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    answer = cli("export", run_dir, "--format", name, "--json")
    assert answer.code == 0, answer.stderr
    found = answer.json
    path = run_dir / "export" / f"student{suffix}"
    assert (found["format"], found["path"], found["bytes"]) == (name, str(path), path.stat().st_size)
    assert found["max_difference"] < 1e-4


def test_export_overwrites_only_when_asked(cli, run_dir: Path):
    words = ["export", run_dir, "--format", "safetensors", "--output", run_dir / "out.safetensors"]
    first = cli(*words)
    assert first.code == 0
    assert str(run_dir / "out.safetensors") in first.stdout
    again = cli(*words)
    assert (again.code, again.stdout) == (1, "")
    assert "--overwrite" in again.stderr
    assert cli(*words, "--overwrite").code == 0


def test_an_unknown_format_names_the_nearest(cli, run_dir: Path):
    answer = cli("export", run_dir, "--format", "onxx")
    assert answer.code == 2
    assert "Nearest: 'onnx'" in answer.stderr


def test_a_bundle_is_a_folder_with_a_card(cli, run_dir: Path):
    pytest.importorskip("onnxscript")
    words = ["export", run_dir, "--format", "bundle", "--examples", 20, "--licence", "data=cc-by-4.0"]
    found = cli(*words, "--json").json
    path = run_dir / "export" / "bundle"
    assert found["path"] == str(path)
    assert (found["examples"], found["same_first_choice"]) == (100, 1.0)
    assert "- Data: cc-by-4.0" in (path / "README.md").read_text()
    assert json.loads((path / "bundle.json").read_text())["preparation"]["kind"] == "image"
    again = cli(*words)
    assert again.code == 1
    assert "--overwrite" in again.stderr
    assert cli(*words, "--overwrite").code == 0
    for more, said in (
        (["--licence", "mit"], "expected PART=LICENCE"),
        (["--licence", "set=mit"], "unknown part"),
        (["--weights", "f16"], "--weights is for gguf"),
    ):
        wrong = cli("export", run_dir, "--format", "bundle", "--output", run_dir / "other", *more)
        assert wrong.code == 2, wrong.stderr
        assert said in wrong.stderr
    assert not (run_dir / "other").exists()


def test_report_renders_again_what_was_measured(cli, done, run_dir: Path):
    page = (run_dir / "report.html").read_text()
    (run_dir / "report.html").unlink()
    answer = cli("report", run_dir)
    assert answer.code == 0, answer.stderr
    assert "Verdict: " in answer.stdout
    assert (run_dir / "report.html").read_text().replace(str(run_dir), str(done[0])) == page
    moved = Path(shutil.move(run_dir, run_dir.with_name("moved")))
    found = cli("report", moved, "--json").json
    assert found["out"] == str(moved)
    assert found["student"] == json.loads((moved / "results.json").read_text())["student"]


def test_report_says_when_its_numbers_are_damaged(cli, run_dir: Path):
    (run_dir / "results.json").write_text('{"recipe": ')
    answer = cli("report", run_dir)
    assert answer.code == 1
    assert "truncated" in answer.stderr
