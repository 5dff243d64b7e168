"""Text of a teacher's own: nothing lost, nothing twice, the same however it is made; a student learns it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tutelage.answers import Answers, Place, Sampling, Texts
from tutelage.engine import Runtime
from tutelage.errors import AnswersError, DataError, Interrupted, ModelError, RecipeError
from tutelage.files import seal
from tutelage.recipes import build, load
from tutelage.runs import run
from tutelage.studies import Study
from tutelage.tasks.language.documents import Unfinished, read_documents
from tutelage.writing import WriteSettings, Writing, finish, prepare, repair

pytest.importorskip("transformers", reason="Transformers is not installed: pip install 'tutelage[language]'")

pytestmark = pytest.mark.filterwarnings("ignore:The teacher is at chance")
TINY = {"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TINY |= {"num_key_value_heads": 2, "intermediate_size": 24, "tie_word_embeddings": True}
TINY |= {"initializer_range": 0.3}
DRAWN = Sampling(tokens=6, sampling_temperature=1.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    words = ("the owl", "a cat", "one dog", "that elk")
    lines = [f"{one} saw {other}, and {other} ran" for one in words for other in words]
    (folder / "train.txt").write_text("\n\n".join([*lines, lines[0]]))  # one comes twice
    (folder / "test.txt").write_text("\n\n".join(lines[::3]))
    return folder


def changes(corpus: Path, **more: str) -> list[str]:
    model = f"{{transformers_causal: {{head: true, config: {TINY}}}}}"
    said = {
        "task.data": f"{{train: {corpus}/train.txt, validation: {corpus}/test.txt, test: {corpus}/test.txt}}",
        "task.documents": "paragraphs",
        "task.tokenizer.bpe": "300",
        "task.length": "16",
        "teacher": f"{{frozen: {{model: {model}}}}}",
        "student.model": model,
        "stages.0.train.epochs": "1",
        "control": "false",
        "seeds": "1",
    }
    return [f"{key}={value}" for key, value in (said | more).items()]


def study(corpus: Path, **more: str) -> Study:
    return build(load("language/wikitext_tiny", changes=changes(corpus, **more)), "tiny")


def begun(corpus: Path, out: Path, **settings) -> Writing:
    chosen = {"sampling": DRAWN, "prompt_tokens": 4, "batch_size": 3, "shard_texts": 5} | settings
    return prepare(study(corpus), out, WriteSettings(**chosen), Runtime(cpu=True, quiet=True))


def write(corpus: Path, out: Path, **settings) -> dict:
    work = begun(corpus, out, **settings)
    work.run(label="write")
    return finish(work)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


@pytest.fixture(scope="module")
def written(corpus, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("written")
    return folder, write(corpus, folder, prompt_tokens=40)


def test_each_prompt_is_continued_once(written, corpus):
    folder, done = written
    found = list(Texts(folder))
    documents = (corpus / "train.txt").read_text().split("\n\n")
    assert [one.prompt for one in found] == documents[:-1]
    assert len({one.key for one in found}) == 16
    assert (done["texts"], done["prompts"], done["doubled"], done["shards"]) == (16, 16, 1, 4)
    assert done["tokens"] == sum(one.tokens for one in found) <= 16 * 6
    assert done["finished"] == sum(one.finished for one in found)
    assert done["bytes"] == sum(len(held) for name, held in files(folder).items() if name.endswith("parquet"))
    assert done["tokens_per_second"] == pytest.approx(done["tokens"] / done["write_seconds"])
    assert done["form"] == "text:6@1"


def test_the_files_are_plain_parquet_beside_a_manifest_and_a_tokenizer(written):
    import transformers
    from pyarrow import parquet

    folder, _ = written
    table = parquet.read_table(folder / "shards" / "000000.parquet").to_pylist()
    first = next(iter(Texts(folder)))
    assert list(table[0]) == ["key", "prompt", "text", "continuation", "sample", "tokens", "finished"]
    assert table[0]["text"] == first.prompt + first.continuation == first.text
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["drawn"] == {"sampling_temperature": 1.0, "top_p": 1.0, "seed": 0, "samples": 1}
    assert manifest["rows"] == sum(one.tokens for one in Texts(folder))
    assert len(transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")) == manifest["num_classes"]


def test_the_same_call_makes_the_same_bytes_and_writes_nothing_twice(written, corpus, tmp_path):
    write(corpus, tmp_path, prompt_tokens=40)
    assert files(tmp_path) == files(written[0])
    assert (tmp_path / "manifest.json").read_bytes() == (written[0] / "manifest.json").read_bytes()
    work = begun(corpus, tmp_path, prompt_tokens=40)
    assert work.missing() == []
    work.make = None
    work.run(label="write")
    assert finish(work)["texts"] == 16


def test_neither_batches_nor_shards_change_what_is_drawn(written, corpus, tmp_path):
    write(corpus, tmp_path, prompt_tokens=40, batch_size=7, shard_texts=100)
    assert list(Texts(tmp_path)) == list(Texts(written[0]))


def test_batches_hold_prompts_of_like_length(corpus, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("the owl saw a cat, and a cat ran\na\none dog saw that elk\nthe owl\n")
    work = begun(corpus, tmp_path / "out", prompts=str(prompts), batch_size=2, shard_texts=100)
    given = [one.length for one in work.prompts]
    assert given != sorted(given)
    seen, ask = [], work.writer.write

    def noting(network, asked, sampling):
        seen.append([prompt.length for prompt, _ in asked])
        return ask(network, asked, sampling)

    work.writer.write = noting
    work.make(0)
    assert [length for batch in seen for length in batch] == sorted(given)
    finish(work)
    assert [one.prompt for one in Texts(tmp_path / "out")] == [one.text for one in work.prompts]


def test_who_stops_goes_on_where_it_was(written, corpus, tmp_path):
    work = begun(corpus, tmp_path, prompt_tokens=40)
    make = work.make

    def some(number):
        work.runtime.stop.asked = number == 2
        return make(number)

    work.make = some
    with pytest.raises(Interrupted, match="keeps what was answered"):
        work.run(label="write")
    assert work.missing() == [2, 3]
    with pytest.raises(AnswersError, match=r"lacks shards \[2, 3\]"):
        finish(work)
    with pytest.raises(
        AnswersError, match="is not complete; `tutelage write` with the same settings goes on"
    ):
        read_documents(str(tmp_path), documents="whole")
    write(corpus, tmp_path, prompt_tokens=40)
    assert files(tmp_path) == files(written[0])


def test_processes_share_the_shards(written, corpus, tmp_path):
    missing = begun(corpus, tmp_path, prompt_tokens=40).missing()
    for rank in (1, 0):
        work = begun(corpus, tmp_path, prompt_tokens=40)
        for number in missing[rank::2]:
            work.make(number)
    work.promise().finish(Place(tmp_path))
    assert files(tmp_path) == files(written[0])


def test_several_samples_of_a_prompt(corpus, tmp_path):
    (tmp_path / "p.txt").write_text("the owl\na cat\nthe owl\n")
    done = write(corpus, tmp_path / "out", prompts=str(tmp_path / "p.txt"), samples=3)
    assert (done["texts"], done["prompts"], done["doubled"]) == (6, 2, 1)
    found = list(Texts(tmp_path / "out"))
    assert [(one.prompt, one.sample) for one in found[:4]] == [
        ("the owl", 0),
        ("the owl", 1),
        ("the owl", 2),
        ("a cat", 0),
    ]
    assert len({one.continuation for one in found[:3]}) == 3


def test_damaged_text_is_refused_and_made_again(corpus, tmp_path):
    write(corpus, tmp_path, sampling=Sampling(tokens=4))
    whole = files(tmp_path)
    file = tmp_path / "shards" / "000001.parquet"
    file.write_bytes(b"x" + whole[file.name][1:])
    with pytest.raises(AnswersError, match=r"000001\.parquet is missing, or another one than was written"):
        list(Texts(tmp_path))
    (wrong,) = repair(begun(corpus, tmp_path, sampling=Sampling(tokens=4)))
    assert wrong.startswith("shards/000001.parquet is damaged")
    assert files(tmp_path) == whole


# ----------------------------------------------------------------------------------------- what becomes of it


@pytest.mark.slow
def test_a_student_trains_on_what_was_written(written, corpus, tmp_path):
    folder, _ = written
    data = f"{{train: {folder}, validation: {corpus}/test.txt, test: {corpus}/test.txt}}"
    more = {"task.data": data, "task.documents": "headings", "task.tokenizer": f"{folder}/tokenizer"}
    rest = [one for one in changes(corpus) if one.partition("=")[0] not in (*more, "task.tokenizer.bpe")]
    said = [*rest, *(f"{key}={value}" for key, value in more.items())]
    held = build(load("language/wikitext_tiny", changes=said), "tiny")
    rows = held.problem.train
    texts = list(Texts(folder))
    assert len(rows.starts) == 16  # each text is a document, whatever `documents` says
    ends = torch.cat([rows.starts[1:], torch.tensor([len(rows.tokens)])]) - 1
    assert (rows.tokens[ends] == rows.padding).tolist() == [one.finished for one in texts]
    done = run(held, tmp_path / "run", quiet=True, cpu=True)
    assert done is not None
    assert done.results["student"]["quality"]["nll"]["mean"] > 0


def test_what_was_cut_off_is_no_whole_document(written):
    found = read_documents(str(written[0]), documents="paragraphs")["train"]
    texts = list(Texts(written[0]))
    assert found == [one.text for one in texts]
    assert [isinstance(one, Unfinished) for one in found] == [not one.finished for one in texts]


def test_text_is_no_logits_and_logits_are_no_text(written, tmp_path):
    with pytest.raises(AnswersError, match=r"holds text that a teacher wrote, and no logits"):
        Answers(written[0])
    held = json.loads((written[0] / "manifest.json").read_text()) | {"form": "dense:float32"}
    (tmp_path / "manifest.json").write_text(json.dumps(seal(held)))
    with pytest.raises(AnswersError, match="in the form dense:float32, and text was expected"):
        Texts(tmp_path)
    with pytest.raises(AnswersError, match="in the form dense:float32, and no text"):
        read_documents(str(tmp_path), documents="whole")


@pytest.mark.parametrize("manifest", ["{}", "[1]", "no json", '{"format": "tutelage.answers.1"}'])
def test_a_folder_with_a_manifest_of_somebody_else_is_data(tmp_path, manifest):
    (tmp_path / "manifest.json").write_text(manifest)
    (tmp_path / "train.txt").write_text("one")
    assert read_documents(str(tmp_path), documents="whole") == {"train": ["one"]}


# ------------------------------------------------------------------------------------------------- refusals


def test_no_test_is_drawn_from_what_a_teacher_wrote(written, corpus):
    for data in (str(written[0]), f"{{train: {written[0]}, validation: {corpus}/test.txt}}"):
        with pytest.raises(DataError, match="a test drawn from it would not say how good a student is"):
            study(corpus, **{"task.data": data})


def test_other_text_is_left_alone(written, corpus):
    with pytest.raises(AnswersError, match=r"differ in how text is drawn"):
        begun(
            corpus,
            written[0],
            sampling=Sampling(tokens=6, sampling_temperature=1.0, seed=1),
            prompt_tokens=40,
        )
    with pytest.raises(AnswersError, match="they differ in data"):
        begun(corpus, written[0], prompt_tokens=3)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Sampling(tokens=0), "tokens came as 0"),
        (lambda: Sampling(sampling_temperature=-1.0), "temperature came as -1"),
        (lambda: Sampling(sampling_temperature=float("nan")), "temperature came as nan"),
        (lambda: Sampling(sampling_temperature=1.0, top_p=0.0), "top_p came as 0"),
        (lambda: Sampling(top_p=0.5), "give a temperature"),
        (lambda: WriteSettings(samples=2), "where all are the same"),
        (lambda: WriteSettings(batch_size=0), "batch_size came as 0"),
    ],
)
def test_numbers_that_mean_nothing(wrong, said):
    with pytest.raises(RecipeError, match=said):
        wrong()


def test_a_task_without_text_and_teachers_that_do_not_write(corpus, tmp_path):
    runtime = Runtime(cpu=True, quiet=True)
    with pytest.raises(RecipeError, match="no text that a network could write"):
        prepare(build(load("vision/digits"), "digits"), tmp_path / "a", WriteSettings(), runtime)
    many = study(corpus, teacher="{moving_average: {decay: 0.9}}")
    with pytest.raises(ModelError, match="MovingAverage is no single network"):
        prepare(many, tmp_path / "b", WriteSettings(), runtime)
    with pytest.raises(ModelError, match="after them came, and PackedLlamaForCausalLM has"):
        begun(corpus, tmp_path / "c", sampling=Sampling(tokens=100_000))
    with pytest.raises(DataError, match="there is no file"):
        begun(corpus, tmp_path / "d", prompts="nowhere.txt")
    assert not any((tmp_path / name / "manifest.json").exists() for name in "abcd")


# -------------------------------------------------------------------------------------------- a real process


@pytest.mark.slow
def test_a_killed_process_leaves_what_goes_on_to_the_same_bytes(corpus, tmp_path):
    recipe = load("language/wikitext_tiny", changes=changes(corpus))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True)))
    words = [
        "write",
        "tiny.yaml",
        "--tokens",
        "40",
        "--temperature",
        "1",
        "--samples",
        "4",
        "--prompt-tokens",
    ]
    words += ["40", "--shard-texts", "4", "--batch-size", "2", "--cpu", "--quiet"]
    finished(start(tmp_path, *words, "--out", "calm"))
    child = start(tmp_path, *words, "--out", "killed")
    end = time.monotonic() + 120
    while not list(tmp_path.glob("killed/shards/*.json")):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)
    child.kill()
    child.communicate()
    assert len(list(tmp_path.glob("killed/shards/*.json"))) < 16
    finished(start(tmp_path, *words, "--out", "killed"))
    assert files(tmp_path / "killed") == files(tmp_path / "calm")


def start(cwd: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tutelage", *words],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(child: subprocess.Popen[str]) -> None:
    said = child.communicate(timeout=120)[1]
    assert child.returncode == 0, said
