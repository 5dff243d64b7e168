"""A run of boxes from end to end: labels that are a tree, a metric that is no mean over images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from carrying import same_in_parts_and_together
from typer.testing import CliRunner

from tutelage.cli import app
from tutelage.recipes import build, load
from tutelage.runs import Run, run

RECIPE = "detection/digits"
SHORT = [
    "task.scenes=300",
    "teacher.train.epochs=8",
    "teacher.model.grid_detector.widths=[8, 16, 24]",
    "student.model.grid_detector.widths=[4, 8, 8]",
    "stages.0.train.epochs=4",
]
METRIC = "mean_average_precision"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    study = build(load(RECIPE, changes=SHORT), RECIPE, seeds=3)
    return run(study, tmp_path_factory.mktemp("detection") / "run", quiet=True, cpu=True)


@pytest.mark.slow
def test_outcomes_and_their_controls(done: Run):
    found = done.results
    assert list(found["outcomes"]) == ["control", "student"]
    assert found["outcomes"]["student"]["against"] == "control"
    for each in (*found["outcomes"].values(), found["teacher"]):
        assert set(each["quality"]) == {METRIC, "worst_class_average_precision"}
        assert 0 <= each["quality"][METRIC]["mean"] <= 1
        assert each["calibration"] == {}
    assert found["fidelity"] == {}
    control, student = (found["outcomes"][name] for name in ("control", "student"))
    assert control["steps"] == student["steps"] == 4 * 15
    assert control["cost"]["parameters"] == student["cost"]["parameters"]
    assert found["differences"] == [
        line for line in found["differences"] if not line.startswith(("terms", "steps", "data", "labels"))
    ]


@pytest.mark.slow
def test_the_verdict_runs_over_images(done: Run):
    verdict = done.results["verdict"]
    assert (verdict["of"], verdict["against"], verdict["metric"]) == ("student", "control", METRIC)
    assert (verdict["seeds"], verdict["examples"]) == (3, 161)
    means = [done.results["outcomes"][name]["quality"][METRIC]["mean"] for name in ("student", "control")]
    assert verdict["difference"] == pytest.approx(means[0] - means[1], abs=1e-9)
    assert verdict["interval"][0] <= verdict["difference"] <= verdict["interval"][1]
    if verdict["share_of_seeds"] is not None:
        assert verdict["share_of_seeds"] + verdict["share_of_test_set"] == pytest.approx(1)


@pytest.mark.slow
def test_the_files_and_the_report(done: Run):
    for name in ("results.json", "details.json", "student.safetensors", "network.json", "recipe.yaml"):
        assert (done.out / name).is_file()
    details = json.loads((done.out / "details.json").read_text())
    assert {"fidelity_bins", "confusion"}.isdisjoint(details)
    assert details["calibration_curves"] == {}
    assert len(details["class_names"]) == 10
    page = done.report.read_text()
    assert "Mean average precision" in page
    assert "Fidelity" not in page


@pytest.mark.slow
def test_the_student_answers_boxes(done: Run):
    found = done.student(torch.rand(2, 1, 24, 24))
    assert found["boxes"].shape == (2, 9, 4)


@pytest.mark.slow
def test_evaluate_finds_the_numbers_of_the_run(done: Run):
    answer = CliRunner().invoke(app, ["evaluate", str(done.out), "--cpu", "--json"])
    assert answer.exit_code == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found["examples"] == 161
    assert found["quality"][METRIC]["mean"] in done.results["student"]["quality"][METRIC]["per_seed"]


@pytest.mark.slow
def test_in_parts_and_on_two_processes(tmp_path: Path):
    short = "{steps: 6, batch_size: 24}"
    changes = [
        *SHORT[:1],
        *SHORT[2:4],
        f"teacher.train={short}",
        f"stages.0.train={short}",
        "teacher.optimizers={student: {sgd: {lr: 0.05}}}",
        "stages.0.optimizers={student: {sgd: {lr: 0.05}}}",
        "control={}",
    ]
    same_in_parts_and_together(RECIPE, changes, tmp_path)
