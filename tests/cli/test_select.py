from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tutelage.errors import DataError
from tutelage.recipes import load
from tutelage.tasks.language.documents import check_test, read_documents

transformers = pytest.importorskip(
    "transformers", reason="Transformers is not installed: pip install 'tutelage[language]'"
)

TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "initializer_range": 0.3}
TEXTS = [f"{one} saw {other}" for one in ("the owl", "a cat", "one dog") for other in ("an elk", "a hen")]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A call of `tutelage select` in a folder with a recipe, text and a small network."""
    monkeypatch.chdir(tmp_path)
    Path("train.txt").write_text("\n\n".join(TEXTS))
    Path("test.txt").write_text("\n\n".join(TEXTS[:3]))
    model = {"transformers_causal": {"config": TINY}}
    data = {"train": "train.txt", "validation": "test.txt", "test": "test.txt"}
    task = {"data": data, "documents": "paragraphs", "tokenizer": {"bpe": 280}, "length": 8}
    recipe = {
        "task": {"language.modelling": task},
        "teacher": {"frozen": {"model": model, "seed": 5}},
        "student": {"model": model},
        "stages": [
            {
                "scheme": {"alone": {"matches": [{"loss": "response.HardLabel"}]}},
                "optimizers": {"student": "sgd"},
                "train": {"steps": 1, "batch_size": 4},
            }
        ],
        "control": False,
    }
    Path("tiny.yaml").write_text(yaml.safe_dump(recipe))
    return ["select", "tiny.yaml", "--cpu", "--out", "chosen"]


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("chosen/train.jsonl").read_text().splitlines()]


def test_json_has_the_documented_shape_and_the_next_run_reads_the_data(cli, words):
    answer = cli(*words, "--json", "--shard-documents", "4")
    assert answer.code == 0, answer.stderr
    found: Any = answer.json
    assert found["documents"] == 6
    assert found["kept_tokens"] >= found["tokens"] / 2
    assert found["kept_score"] > found["score"]
    kept = rows()
    assert [row["document"] for row in kept] == sorted(row["document"] for row in kept)
    assert all(row["text"] == TEXTS[row["document"]] for row in kept)
    assert min(row["score"] for row in kept) == found["threshold"]
    assert "6 documents to score" in answer.stderr
    run = shlex.split(found["run"])
    held = load("tiny.yaml", changes=[run[4], run[6]]).task.settings
    assert held["data"] == {"train": "chosen", "validation": "test.txt", "test": "test.txt"}
    assert held["tokenizer"] == "chosen/tokenizer"
    read = read_documents(held["data"], documents="headings")
    assert read["train"] == [row["text"] for row in kept]
    assert cli("check", *run[2:], "--cpu").code == 0


def test_another_share_takes_the_scores_that_are_there(cli, words):
    assert cli(*words, "--quiet").code == 0
    first, scores = rows(), Path("chosen/shards/000000.jsonl").stat().st_mtime_ns
    assert cli(*words, "--quiet").code == 0
    assert rows() == first
    assert cli(*words, "--quiet", "--keep", "0.1").code == 0
    best = max(first, key=lambda row: row["score"])
    assert rows() == [best]
    assert Path("chosen/shards/000000.jsonl").stat().st_mtime_ns == scores
    other = cli(*words, "--quiet", "--set", "stages.0.train.steps=2")
    assert other.code == 1
    assert "holds a small network that was trained by another recipe or text" in other.stderr


def test_a_killed_selection_goes_on_and_is_not_read_before(cli, words):
    assert cli(*words, "--quiet", "--shard-documents", "2").code == 0
    whole = Path("chosen/train.jsonl").read_bytes()
    for name in ("shards/000001.jsonl", "select.json"):
        Path("chosen", name).unlink()
    with pytest.raises(DataError, match="is not complete; `tutelage select`"):
        read_documents("chosen", documents="whole")
    answer = cli(*words, "--shard-documents", "2")
    assert answer.code == 0, answer.stderr
    assert "select  2/2" in answer.stderr
    assert Path("chosen/train.jsonl").read_bytes() == whole
    Path("chosen/train.jsonl").write_bytes(whole + b"\n")
    with pytest.raises(DataError, match="is not as it was written"):
        read_documents("chosen", documents="whole")


def test_a_small_network_of_ones_own(cli, words):
    from tutelage.tasks.language.vocabulary import Vocabulary

    torch.manual_seed(3)
    tokenizer = Vocabulary.learnt(TEXTS, size=280).tokenizer
    config = transformers.AutoConfig.for_model(**TINY, vocab_size=len(tokenizer))
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained("small")
    tokenizer.save_pretrained("small")
    answer = cli(*words, "--reference", "small", "--set", "task.tokenizer=small")
    assert answer.code == 0, answer.stderr
    assert not Path("chosen/reference").exists()
    assert "documents in chosen" in answer.stdout
    again = cli(*words, "--set", "task.tokenizer=small")
    assert again.code == 1
    assert "holds scores of other networks" in again.stderr


def test_conversations_stay_conversations(cli, words):
    talks = [{"prompt": f"{text}?", "completion": " yes, an owl"} for text in TEXTS]
    Path("train.jsonl").write_text("".join(f"{json.dumps(talk)}\n" for talk in talks))
    data = "task.data={train: train.jsonl, validation: test.txt, test: test.txt}"
    assert cli(*words, "--quiet", "--set", data).code == 0
    kept = rows()
    assert all({"prompt": row["prompt"], "completion": row["completion"]} in talks for row in kept)
    read = read_documents("chosen", documents="whole")["train"]
    assert [one.completion for one in read] == [" yes, an owl"] * len(kept)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--keep", "1.5"], 2, "keep came as 1.5; a share above 0 and below 1"),
        (["--set", "teacher=null"], 2, "no teacher to score documents by"),
        (
            ["--set", "stages.0.scheme={offline: {matches: [{loss: response.SoftTarget}]}}"],
            2,
            "the recipe trains none by labels alone; give one (--reference FOLDER)",
        ),
    ],
)
def test_what_cannot_be_chosen_by_is_refused(cli, words, more, code, said):
    answer = cli(*words, *more)
    assert (answer.code, answer.stdout) == (code, "")
    assert said in answer.stderr


def test_a_test_is_not_drawn_from_what_was_chosen(cli, words):
    assert cli(*words, "--quiet").code == 0
    with pytest.raises(DataError, match="a test drawn from them would be of easier text"):
        check_test("chosen", {"train": []})
