from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tutelage.recipes import load

pytest.importorskip("transformers", reason="Transformers is not installed: pip install 'tutelage[language]'")

pytestmark = pytest.mark.filterwarnings("ignore:The teacher is at chance")
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24}


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A call of `tutelage write` in a folder with a recipe and text."""
    monkeypatch.chdir(tmp_path)
    text = [f"{one} saw {other}" for one in ("the owl", "a cat", "one dog") for other in ("an elk", "a hen")]
    Path("train.txt").write_text("\n\n".join(text))
    Path("test.txt").write_text("\n\n".join(text[:3]))
    model = {"transformers_causal": {"config": TINY}}
    data = {"train": "train.txt", "validation": "test.txt", "test": "test.txt"}
    task = {"data": data, "documents": "paragraphs", "tokenizer": {"bpe": 280}, "length": 8}
    recipe = {
        "task": {"language.modelling": task},
        "teacher": {"frozen": {"model": model}},
        "student": {"model": model},
        "stages": [{"scheme": "alone", "optimizers": {"student": "sgd"}, "train": {"epochs": 1}}],
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe))
    return ["write", "tiny.yaml", "--tokens", "4", "--prompt-tokens", "3", "--cpu"]


def test_json_has_the_documented_shape_and_is_alone_on_stdout(cli, words):
    answer = cli(*words, "--temperature", "0.5", "--top-p", "0.9", "--samples", "2", "--json")
    assert answer.code == 0, answer.stderr
    found: Any = answer.json
    assert (found["form"], found["texts"], found["prompts"], found["doubled"]) == ("text:4@0.5", 6, 3, 3)
    assert found["out"] == "written/tiny"
    assert found["bytes"] == sum(path.stat().st_size for path in Path().rglob("shards/*.parquet"))
    assert found["tokens"] <= 24
    assert found["tokens_per_second"] > 0
    assert "6 texts after 3 prompts (3 that came twice are left out), at most 24 tokens" in answer.stderr
    assert "write  6/6" in answer.stderr
    run = shlex.split(found["run"])
    assert run[:3] == ["tutelage", "run", "tiny.yaml"]
    held = load("tiny.yaml", changes=[run[4], run[6]]).task.settings
    assert held["data"] == {"train": "written/tiny", "validation": "test.txt", "test": "test.txt"}
    assert held["tokenizer"] == "written/tiny/tokenizer"  # and not another one, learnt from the new text
    assert cli("check", *run[2:], "--cpu").code == 0


def test_a_summary_says_what_to_do_next(cli, words):
    answer = cli(*words, "--out", "own words", "--quiet", "--set", "task.data.test=train.txt")
    assert answer.code == 0, answer.stderr
    said = " ".join(answer.stdout.split())
    assert "3 texts as text:4@0 in own words" in said
    assert "texts were ended by the teacher, the others cut off" in said
    assert 'Train on it: tutelage run tiny.yaml --set \'task.data={train: "own words"' in said
    assert 'test: "train.txt"' in said
    assert answer.stderr == ""
    manifest = Path("own words/manifest.json").read_bytes()
    assert cli(*words, "--out", "own words", "--quiet", "--set", "task.data.test=train.txt").code == 0
    assert Path("own words/manifest.json").read_bytes() == manifest


def test_prompts_of_a_file_and_damage_that_is_made_good(cli, words):
    Path("p.txt").write_text("the owl\na cat\n")
    call = [*words, "--prompts", "p.txt", "--out", "w"]
    assert cli(*call).code == 0
    file = Path("w/shards/000000.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    answer = cli(*call, "--repair")
    assert answer.code == 0, answer.stderr
    assert "shards/000000.parquet has" in answer.stderr
    assert file.read_bytes() == whole
    assert "every file is as it was written" in cli(*call, "--repair").stderr


def test_without_a_test_set_its_place_is_left_open(cli, words):
    recipe = yaml.safe_load(Path("tiny.yaml").read_text())
    recipe["task"]["language.modelling"] |= {"data": "train.txt", "validation": 1, "test": 1}
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe))
    answer = cli(*words, "--json")
    assert answer.code == 0, answer.stderr
    assert '"TEST.txt"' in answer.json["run"]


@pytest.mark.slow
def test_a_teacher_that_was_trained_beside_is_taken_up(cli, words):
    train = "{train: {epochs: 1}, optimizers: {student: sgd}}"
    recipe = yaml.safe_load(Path("tiny.yaml").read_text())
    recipe["teacher"]["frozen"] |= yaml.safe_load(train)
    recipe["stages"][0]["scheme"] = {"offline": {"matches": [{"loss": "response.SoftTarget"}]}}
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe))
    answer = cli(*words, "--json", "--quiet")
    assert answer.code == 0, answer.stderr
    run = shlex.split(answer.json["run"])
    assert 'teacher.frozen.weights="written/tiny/teacher/student.safetensors"' in run
    done = cli(*run[1:], "--seeds", "1", "--out", "run", "--quiet", "--json")
    assert done.code == 0, done.stderr
    assert not Path("run/teacher").exists()


def test_text_is_no_answers(cli, words):
    assert cli(*words, "--out", "w", "--quiet").code == 0
    answer = cli("run", "tiny.yaml", "--answers", "w", "--cpu")
    assert (answer.code, answer.stdout) == (1, "")
    assert "w holds text that a teacher wrote, and no logits" in answer.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        (["--tokens", "0"], "tokens came as 0", 2),
        (["--top-p", "0.5"], "give a temperature", 2),
        (["--samples", "2"], "where all are the same", 2),
        (["--prompt-tokens", "0"], "prompt_tokens came as 0", 2),
        (["--set", "task.lenght=3"], "Nearest: 'length'", 2),
        (["--prompts", "nowhere.txt"], "there is no file nowhere.txt with prompts", 1),
        (["--tokens", "5000"], "positions; take shorter prompts", 1),
    ],
)
def test_what_cannot_be_written_is_one_line(cli, words, more, said, code):
    answer = cli(*words, *more)
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert said in answer.stderr
    assert not list(Path().rglob("manifest.json"))


def test_a_task_without_text_is_wrong_use(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("write", "vision/digits", "--cpu")
    assert (answer.code, answer.stdout) == (2, "")
    assert "no text that a network could write" in answer.stderr
    assert json.dumps(list(tmp_path.iterdir())) == "[]"


@pytest.mark.slow
def test_translations_are_trained_on_in_the_place_of_the_labels(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    animals = ("owl", "cat", "dog", "elk")
    rows = [{"source": f"the {a} saw a {b}", "target": f"{b} {a}"} for a in animals for b in animals]
    Path("train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model = {"transformer": {"hidden": 8, "layers": 1, "heads": 1}}
    task = {"data": "train.jsonl", "tokenizer": {"bpe": 300}, "length": 12, "metric": "nll"}
    optimizers, train = {"student": {"adamw": {"lr": 0.01}}}, {"epochs": 1, "batch_size": 8}
    recipe = {
        "task": {"text.translation": task | {"validation": 2, "test": 2}},
        "teacher": {"frozen": {"model": model, "train": train, "optimizers": optimizers}},
        "student": {"model": model},
        "stages": [{"scheme": "alone", "optimizers": optimizers, "train": train}],
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe))
    answer = cli("write", "tiny.yaml", "--tokens", "4", "--cpu", "--quiet", "--json")
    assert answer.code == 0, answer.stderr
    found: Any = answer.json
    assert found["texts"] == 12
    run = shlex.split(found["run"])
    held = load("tiny.yaml", changes=[word for flag, word in pairwise(run) if flag == "--set"])
    assert held.stages[0].train.augment == {"written": "written/tiny"}
    assert held.control.train == {"augment": {}}
    assert held.task.settings["data"] == "train.jsonl"
    answer = cli("run", *run[2:], "--set", "seeds=1", "--set", "placebo=false", "--quiet", "--json")
    assert answer.code == 0, answer.stderr
    assert answer.json["outcomes"].keys() == {"student", "control"}
