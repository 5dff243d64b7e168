from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

SHORT = ["--set", "teacher.train.epochs=1", "--set", "stages.0.train.epochs=1", "--seeds", "2", "--cpu"]
COST = {
    "parameters",
    "bytes",
    "flops",
    "latency_ms",
    "peak_memory_bytes",
    "energy_joules",
    "train_seconds",
}


def check_spread(held: dict[str, Any], seeds: int) -> None:
    for metric, value in held.items():
        assert set(value) == {"mean", "per_seed"}, metric
        assert len(value["per_seed"]) == seeds, metric


def test_json_has_the_documented_shape_and_is_alone_on_stdout(done):
    folder, answer = done
    assert answer.code == 0, answer.stderr
    found = answer.json
    assert (found["recipe"], found["out"], found["seeds"]) == ("vision/digits", str(folder), [0, 1])
    for name, seeds in (("teacher", 1), ("control", 2), ("student", 2)):
        arm = found[name]
        check_spread(arm["quality"], seeds)
        check_spread(arm["calibration"], seeds)
        assert "accuracy" in arm["quality"]
        assert {"ece", "nll", "brier"} <= set(arm["calibration"])
        assert set(arm["cost"]) >= COST
        assert set(arm["cost"]["latency_ms"]) == {"1", "32"}
        assert all(
            set(held) >= {"p50", "p95", "p99", "stable", "threads"}
            for held in arm["cost"]["latency_ms"].values()
        )
    check_spread(found["fidelity"], 2)
    verdict = found["verdict"]
    assert {"word", "metric", "difference", "interval", "level", "why"} <= set(verdict)
    assert verdict["word"] in ("better", "worse", "not shown")
    assert verdict["metric"] == "accuracy"
    assert verdict["interval"] is None  # of two seeds
    assert {"format": 2, "primary": "student"}.items() <= found.items()
    assert list(found["outcomes"]) == ["control", "placebo", "student"]
    assert found["control"]["steps"] == found["student"]["steps"] == 16


def test_a_run_says_how_far_it_is_on_stderr(done):
    _, answer = done
    for label in ("teacher", "control, seed 0", "student, seed 1"):
        assert label in answer.stderr


def test_a_run_leaves_its_record(done):
    folder, answer = done
    assert json.loads((folder / "results.json").read_text()) == answer.json
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert recipe["stages"][0]["train"]["epochs"] == 1
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    for name in ("student.safetensors", "environment.json", "details.json", "run.json"):
        assert (folder / name).is_file()
    assert not list(folder.rglob("checkpoint.safetensors"))


@pytest.mark.slow
def test_a_summary_is_printed_and_a_free_folder_taken(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.yaml"
    words = ["--set", "student.model.widths=[4]", "--quiet", *SHORT]
    file.write_text(cli("show", "vision/digits").stdout)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    answer = cli("run", file, *words)
    assert answer.code == 0, answer.stderr
    assert answer.stderr == ""
    assert "Verdict: " in answer.stdout
    assert "Report: runs/mine-2/report.html" in answer.stdout.replace("\n", "")
    assert json.loads((tmp_path / "runs" / "mine-2" / "results.json").read_text())["recipe"] == "mine"


@pytest.mark.slow
def test_a_folder_that_is_taken_is_refused(cli, run_dir: Path, tmp_path: Path):
    answer = cli("run", "vision/digits", *SHORT, "--out", run_dir)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"error: {run_dir} holds this run already; go on with it")
    other = cli("run", "vision/digits", *SHORT, "--seeds", "1", "--out", run_dir)
    assert other.code == 1
    assert "it differs in its seeds, [0, 1], to which more may be added" in other.stderr
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    foreign = cli("run", "vision/digits", *SHORT, "--out", tmp_path / "foreign")
    assert foreign.code == 1
    assert "holds other files and no run" in foreign.stderr


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(cli, done, run_dir: Path):
    """What was finished is read; what was not is trained."""
    for name in ("results.json", "report.html", "student.safetensors"):
        (run_dir / name).unlink()
    shutil.rmtree(run_dir / "seed1" / "student")
    answer = cli("run", "vision/digits", *SHORT, "--out", run_dir, "--resume", "--json")
    assert answer.code == 0, answer.stderr
    assert "student, seed 1" in answer.stderr
    assert "student, seed 0" not in answer.stderr
    for name in ("control", "student"):
        assert answer.json[name]["quality"] == done[1].json[name]["quality"]


@pytest.mark.slow
def test_a_tracker_writes_into_the_runs_folder(cli, tmp_path: Path):
    pytest.importorskip("tensorboard")
    words = ["run", "vision/digits", *SHORT, "--tracker", "tensorboard", "--out", tmp_path / "run"]
    assert cli(*words).code == 0
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))
    assert cli(*words, "--resume").code == 0


def test_resume_needs_to_know_which(cli):
    answer = cli("run", "vision/digits", "--resume")
    assert answer.code == 2
    assert "--out" in answer.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vision/digit"], "Nearest: 'vision/digits'"),
        (["vision/digits", "--set", "seedz=3"], "Nearest: 'seeds'"),
        (["vision/digits", "--set", "seeds"], "expected key=value"),
        (["vision/digits", "--set", "seeds=none"], "seeds: "),
        (["vision/digits", "--set", "student.model={resnt8: {}}"], "Nearest: 'resnet8'"),
        (["vision/digits", "--set", "student.model.wdths=3"], "Nearest: 'widths'"),
        (["vision/digits", "--set", "teacher.trian.epochs=3"], "Nearest: 'train'"),
        (["vision/digits", "--set", "teacher.train.epoch=3"], "Nearest: 'epochs'"),
        (["vision/digits", "--tracker", "tensorbord"], "Nearest: 'tensorboard'"),
        (["none.yaml"], "there is no recipe file none.yaml"),
    ],
)
@pytest.mark.slow
def test_wrong_use_is_one_line_and_leaves_no_folder(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    answer = cli("run", *words)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert said in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_a_recipe_that_would_build_objects_is_refused(cli, tmp_path: Path):
    file = tmp_path / "evil.yaml"
    file.write_text("task: !!python/object/apply:os.mkdir [owned]\n")
    answer = cli("run", file)
    assert answer.code == 2
    assert "would build an object" in answer.stderr
    assert not Path("owned").exists()


def test_a_bug_in_a_users_code_keeps_its_traceback(cli, tmp_path: Path):
    file = tmp_path / "broken.py"
    file.write_text("recipe = 1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        cli("run", file)


def test_what_a_users_code_prints_stays_off_stdout(cli, tmp_path: Path):
    file = tmp_path / "loud.py"
    file.write_text("print('hello')\nrecipe = {}\n")
    answer = cli("run", file, "--json")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("hello\nerror: ")
    assert "task: Field required" in answer.stderr
