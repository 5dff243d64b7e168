from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

# answers in shards of some hundred examples
SMALL = [
    "--set",
    "teacher.train.epochs=1",
    "--set",
    "stages.0.train.epochs=1",
    "--cpu",
    "--shard-size",
    "10kB",
]
DIGITS = ["label", "vision/digits", *SMALL, "--seeds", "2"]


_KEPT: list[tuple[Path, Any]] = []


@pytest.fixture
def labelled(cli, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Finished answers to `vision/digits`, made once, and what was printed with --json."""
    if not _KEPT:
        folder = tmp_path_factory.mktemp("labelled") / "answers"
        _KEPT.append((folder, cli(*DIGITS, "--out", folder, "--json")))
    return _KEPT[0]


@pytest.fixture
def answers(labelled: tuple[Path, Any], tmp_path: Path) -> Path:
    """A copy of them, to do with as one likes."""
    return Path(shutil.copytree(labelled[0], tmp_path / "answers"))


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


def test_json_has_the_documented_shape_and_is_alone_on_stdout(labelled):
    folder, answer = labelled
    assert answer.code == 0, answer.stderr
    found = answer.json
    assert (found["form"], found["out"], found["examples"]) == ("dense:float32", str(folder), 1797)
    assert found["rows"] == found["examples"]
    assert found["bytes"] == sum(path.stat().st_size for path in folder.rglob("shards/*.safetensors"))
    assert found["bytes_per_row"] == pytest.approx(found["bytes"] / 1797)
    assert 5 < found["shards"] == len(list(folder.glob("shards/*.json")))
    assert found["teacher"]["cost"]["parameters"] == 65834
    assert found["teacher"]["train_seconds"] > 0
    assert found["label_seconds"] > 0
    for said in (found["stated"], found["measured"]):
        assert set(said) == {"2"}
        assert set(said["2"]) == {"kl", "gradient", "bias"}
    assert found["measured"]["2"]["gradient"] < 1e-5


def test_the_size_and_the_error_are_said_before_and_progress_on_the_way(labelled):
    said = labelled[1].stderr
    assert "1,797 answers as dense:float32" in said
    assert said.index("expected at T = 2: KL") < said.index("label  1797/1797")


def test_a_summary_says_what_to_do_next(cli, answers: Path):
    answer = cli(*DIGITS, "--out", answers, "--quiet")
    assert answer.code == 0, answer.stderr
    said = answer.stdout.replace("\n", "")
    assert f"1,797 answers as dense:float32 in {answers}" in said
    again = "Train with them: tutelage run vision/digits --set teacher.train.epochs=1"
    assert again.replace(" ", "") in said.replace(" ", "")
    assert f"--seeds 2 --cpu --answers {answers}".replace(" ", "") in said.replace(" ", "")


def test_a_second_call_asks_nothing_again(cli, answers: Path):
    times = {path: path.stat().st_mtime_ns for path in answers.rglob("shards/*")}
    manifest = (answers / "manifest.json").read_bytes()
    assert cli(*DIGITS, "--out", answers, "--json").code == 0
    assert {path: path.stat().st_mtime_ns for path in answers.rglob("shards/*")} == times
    assert (answers / "manifest.json").read_bytes() == manifest


def test_a_call_goes_on_where_another_was_killed(cli, answers: Path):
    whole = shards(answers)
    lost = sorted((answers / "shards").glob("*.json"))[1:3]
    for path in lost:
        path.unlink()
    lost[0].with_suffix(".safetensors").write_bytes(b"cut short")
    (answers / "shards" / ".part.000001.safetensors").write_bytes(b"cut")
    assert cli(*DIGITS, "--out", answers, "--quiet").code == 0
    assert shards(answers) == whole


def test_answers_lie_beside_by_default(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*DIGITS, "--json", "--quiet", "--set", "task.train=200")
    assert answer.code == 0, answer.stderr
    assert answer.json["out"] == "answers/vision-digits"
    assert (tmp_path / "answers" / "vision-digits" / "manifest.json").is_file()


def test_other_answers_are_left_alone(cli, answers: Path):
    whole = shards(answers)
    answer = cli(*DIGITS, "--out", answers, "--form", "dense:float16")
    assert (answer.code, answer.stdout) == (1, "")
    assert f"error: {answers} holds other answers: they differ in form (" in answer.stderr
    assert shards(answers) == whole


def test_a_budget_chooses_the_form(cli, answers: Path, tmp_path: Path):
    shutil.copytree(answers / "teacher", tmp_path / "small" / "teacher")
    answer = cli(*DIGITS, "--out", tmp_path / "small", "--budget", "70kB", "--json", "--quiet")
    assert answer.code == 0, answer.stderr
    assert answer.json["form"] in ("dense:float16", "dense:int8", "topk:1@2", "topk:2@2", "sampled:4@2")
    stated, measured = answer.json["stated"]["2"]["gradient"], answer.json["measured"]["2"]["gradient"]
    assert 0 < measured == pytest.approx(stated, rel=0.3)


def test_damaged_answers_are_named_and_made_again(cli, answers: Path):
    whole = shards(answers)
    file = answers / "shards" / "000002.safetensors"
    file.write_bytes(whole[file.name][:-1] + bytes([whole[file.name][-1] ^ 1]))
    answer = cli(*DIGITS, "--out", answers, "--repair", "--json")
    assert answer.code == 0, answer.stderr
    assert "shards/000002.safetensors is damaged" in answer.stderr
    assert answer.json["shards"] == len(whole) // 2
    assert shards(answers) == whole
    again = cli(*DIGITS, "--out", answers, "--repair")
    assert "every file is as it was written" in again.stderr


# --------------------------------------------------------------------------------- training without a teacher


def test_a_run_from_answers_is_the_run_with_the_teacher(cli, done, answers: Path, tmp_path: Path):
    shutil.rmtree(answers / "teacher")  # nobody needs it
    words = [*SMALL[:5], "--seeds", "2"]
    answer = cli("run", "vision/digits", *words, "--answers", answers, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.stderr
    assert "teacher  " not in answer.stderr
    assert "student, seed 1" in answer.stderr
    found, live = answer.json, done[1].json
    for arm in ("teacher", "control", "student"):
        assert found[arm]["quality"] == live[arm]["quality"], arm
    for number in ("parameters", "bytes", "flops"):
        assert found["teacher"]["cost"][number] == live["teacher"]["cost"][number]
    about = json.loads((answers / "about.json").read_text())
    whole = about["teacher"]["train_seconds"] + about["label_seconds"]
    assert found["teacher"]["cost"]["train_seconds"] == pytest.approx(whole)


def test_a_run_that_asks_for_what_was_not_labelled_is_refused(cli, answers: Path, tmp_path: Path):
    views = [*SMALL[:5], "--set", "stages.0.train.augment={jitter: 1}"]
    answer = cli(
        "run", "vision/digits", *views, "--answers", answers, "--out", tmp_path / "run", "--seeds", 2
    )
    assert (answer.code, answer.stdout) == (1, "")
    assert "the recipe shows 2 random views" in answer.stderr
    assert f"2 of them were not shown to the teacher whose answers are at {answers}" in answer.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("default::tutelage.errors.TutelageWarning")
def test_a_run_with_another_teacher_is_told_whose_answers_these_are(cli, answers: Path, tmp_path: Path):
    other = [*SMALL[:5], "--set", "teacher.train.epochs=9", "--set", "stages.0.scheme.matches.0.weight=-1"]
    answer = cli("run", "vision/digits", *other, "--answers", answers, "--out", tmp_path / "run")
    assert "warning: the answers at" in answer.stderr
    said = "it differs in teacher.frozen.train.epochs (1 there, 9 in the recipe)\n"
    assert said in answer.stderr


def test_what_is_gone_is_answered_anew_and_the_rest_was_not_read(cli, answers: Path):
    whole = shards(answers)
    (answers / "shards" / "000002.safetensors").unlink()
    first, second = (cli(*DIGITS, "--out", answers) for _ in range(2))
    assert shards(answers) == whole
    assert "every answer is there" not in first.stderr
    assert "every answer is there; of files only the sizes were looked at" in second.stderr


def test_a_budget_below_the_names_trains_no_teacher(cli, tmp_path: Path):
    answer = cli(*DIGITS, "--out", tmp_path / "small", "--budget", "20kB")
    assert (answer.code, answer.stdout) == (2, "")
    assert "the names of 1,797 examples alone take 32," in answer.stderr
    assert not (tmp_path / "small").exists()


def test_a_folder_without_answers_is_one_line(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("run", "vision/digits", "--answers", "nowhere")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("error: there are no answers at ")
    assert answer.stderr.endswith("`tutelage label` makes them\n")
    assert not (tmp_path / "runs").exists()


# -------------------------------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vision/digit"], "Nearest: 'vision/digits'"),
        (["vision/digits", "--engine", "rya"], "unknown engine 'rya'. Nearest: 'ray'. Known: local, ray"),
        (["vision/digits", "--budget", "2XB"], "expected one such as 500MB or 2GB"),
        (["vision/digits", "--shard-size", "0"], "expected one such as 500MB or 2GB"),
        (["vision/digits", "--set", "seedz=3"], "Nearest: 'seeds'"),
        (["vision/digits", "--out", "memory://there"], "gone when the command ends; name a folder or a URL"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_no_folder(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    answer = cli("label", *words)
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert said in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--form", "tpok:3"], "Nearest: 'topk'"),
        (["--form", "dense:float"], "Nearest: 'float32'"),
        (["--form", "topk"], "expected dense:float16, topk:64@1,4 or sampled:12@1"),
        (["--form", "sampled:300"], "expected 1 to 255"),
        (["--form", "topk:3@1"], "topk:3@1 cannot serve temperature 2"),
        (["--budget", "1kB"], "give a larger --budget, fewer views, or fewer examples"),
    ],
)
def test_a_form_that_will_not_do_is_said_before_anything_is_stored(cli, answers: Path, words, said):
    shutil.rmtree(answers / "shards")
    (answers / "manifest.json").unlink()
    answer = cli(*DIGITS, "--out", answers, *words, "--quiet")
    assert (answer.code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert said in answer.stderr
    assert not (answers / "shards").exists()


def test_a_teacher_that_cannot_be_stored_is_refused(cli, tmp_path: Path):
    words = ["label", "vision/digits", "--set", "teacher={moving_average: {decay: 0.9}}", "--cpu"]
    answer = cli(*words, "--out", tmp_path / "answers")
    assert answer.code == 1
    assert "its answers are not stored: train with it as it is" in answer.stderr


# -------------------------------------------------------------------------------------------------------- Ray


def test_without_ray_the_extra_is_named(cli, answers: Path, monkeypatch: pytest.MonkeyPatch):
    (answers / "shards" / "000001.json").unlink()
    monkeypatch.setitem(sys.modules, "ray", None)
    answer = cli(*DIGITS, "--out", answers, "--engine", "ray")
    assert (answer.code, answer.stdout) == (1, "")
    assert "pip install 'tutelage[ray]'" in answer.stderr


@pytest.mark.slow
def test_rays_workers_make_the_same_files(answers: Path, tmp_path: Path):
    pytest.importorskip("ray.data", reason="Ray is not installed: pip install 'tutelage[ray]'")
    whole = shards(answers)
    shutil.rmtree(answers / "shards")
    (answers / "manifest.json").unlink()
    tutelage = Path(sys.executable).with_name("tutelage")
    words = [*DIGITS, "--out", "answers", "--engine", "ray", "--workers", "2", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [tutelage, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shards"] == len(whole) // 2
    heads = {line.split()[0] for line in done.stderr.splitlines()}
    assert heads == {"1,797", "expected", "label"}, done.stderr
    assert shards(answers) == whole
