from __future__ import annotations

import pytest

SHORT = [
    *("--set", "teacher.frozen.model={mlp: {widths: [8]}}"),
    *("--set", "teacher.frozen.train={epochs: 1, batch_size: 64}"),
    *("--set", "stages.0.train={epochs: 1, batch_size: 64}"),
    *("--trials", 2, "--finalists", 1, "--seeds", 1, "--cpu"),
]
TEMPERATURE = "stages.0.scheme.matches.0.temperature=1..16:log"


@pytest.mark.slow
def test_json_is_alone_on_stdout_and_progress_on_stderr(cli, tmp_path):
    words = ["tune", "vision/digits", "--search", TEMPERATURE, *SHORT, "--out", tmp_path / "t"]
    answer = cli(*words, "--json")
    assert answer.code == 0, answer.stderr
    assert list(answer.json["sides"]["student"]["chosen"]) == ["stages.0.scheme.matches.0.temperature"]
    assert answer.json["sides"]["control"]["said"].startswith("nothing to tune")
    assert "student, trial 1 of 2" in answer.stderr
    again = cli(*words)
    assert again.code == 1
    assert "--resume" in again.stderr
    again = cli(*words, "--resume", "--quiet")
    assert again.code == 0
    assert "tutelage run" in again.stdout
    assert not again.stderr.strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--search", "stages.0.scheme.matches.0.temperature=16..1"], "smaller number first"),
        (["--search", "stages.0.scheme.matches.0.temperature"], "KEY=VALUES"),
        (["--trials", "0"], "trials came as 0"),
        (["--resume"], "--out"),
    ],
)
def test_wrong_use_is_said_and_is_2(cli, words, said):
    answer = cli("tune", "vision/digits", *words)
    assert answer.code == 2
    assert said in answer.stderr
