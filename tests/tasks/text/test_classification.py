"""Sentences with a class or a number each: columns, splits, batches."""

from __future__ import annotations

import datasets
import pytest
import torch

from tutelage.data import Loader, keys_of
from tutelage.errors import DataError, RecipeError, UnknownName
from tutelage.tasks.collected import Collected
from tutelage.tasks.text import classification

pytest.importorskip("transformers")

WORDS = {"words": 300}


@pytest.fixture(scope="module")
def problem(folder):
    return classification(data=folder, tokenizer=WORDS, watch=[1])


def test_the_parts_and_what_networks_are_told(problem):
    assert [len(part) for part in (problem.train, problem.validation, problem.test)] == [34, 4, 10]
    assert problem.class_names == ("0", "1")
    told = problem.network_options
    assert (told["num_classes"], told["answers"], told["length"]) == (2, "class", 128)
    assert told["vocabulary"] == len(told["words"])
    assert problem.chance == 0.5


def test_a_batch_is_filled_up_to_its_own_longest_text(problem):
    lengths = [len(problem.train.batch([n]).inputs["input_ids"][0]) for n in range(34)]
    assert len(set(lengths)) > 1
    order = sorted(range(34), key=lengths.__getitem__)
    short, long = order[0], order[-1]
    batch = problem.train.batch([short, long])
    there = batch.inputs["attention_mask"]
    assert there.sum(1).tolist() == [lengths[short], lengths[long]]
    assert there.shape == (2, lengths[long])
    alone = problem.train.batch([short])
    width = lengths[short]
    assert torch.equal(batch.inputs["input_ids"][:1, :width], alone.inputs["input_ids"])
    assert bool((batch.inputs["input_ids"][0, width:] == problem.network_options["words"].padding).all())
    assert torch.equal(keys_of(batch)[0], keys_of(alone)[0]), "an answer is found whatever stands beside it"


def test_texts_and_labels_stay_together_in_any_order(problem, sentences):
    label_of = dict(zip(sentences["sentence"][:], sentences["label"][:], strict=True))
    words = problem.network_options["words"].tokenizer
    loader = Loader(problem.train, batch_size=8, seed=3)
    again = Loader(problem.train, batch_size=8, seed=3)
    for (batch,), (other,) in zip(loader.epoch(1), again.epoch(1), strict=True):
        assert torch.equal(batch.inputs["input_ids"], other.inputs["input_ids"])
        for tokens, label in zip(batch.inputs["input_ids"], batch.labels, strict=True):
            assert label_of[words.decode(tokens, skip_special_tokens=True)] == int(label)


def test_words_as_labels_pairs_and_a_csv_file(tmp_path):
    table = datasets.Dataset.from_dict(
        {
            "premise": ["a cat sits", "a dog runs"] * 8,
            "hypothesis": ["an animal", "no animal is here"] * 8,
            "label": ["yes", "no"] * 8,
        }
    )
    table.to_csv(tmp_path / "pairs.csv")
    problem = classification(
        data=str(tmp_path / "pairs.csv"), tokenizer={"wordpiece": 300}, validation=4, test=4
    )
    assert problem.class_names == ("no", "yes")
    inputs = problem.train.batch([0, 1]).inputs
    assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids"}
    parts = problem.network_options["words"].tokenizer.decode(
        inputs["input_ids"][0][inputs["token_type_ids"][0] == 1]
    )
    assert "animal" in parts
    alone = classification(
        data=str(tmp_path / "pairs.csv"), tokenizer=WORDS, pair=False, validation=4, test=4
    )
    assert set(alone.train.batch([0]).inputs) == {"input_ids", "attention_mask"}


def test_what_save_to_disk_wrote_json_lines_and_a_place_for_each_split(sentences, tmp_path):
    sentences.save_to_disk(str(tmp_path / "saved"))
    sentences.to_json(tmp_path / "lines.jsonl")
    places = {"train": str(tmp_path / "saved"), "test": str(tmp_path / "lines.jsonl")}
    problem = classification(data=places, tokenizer=WORDS, validation=8)
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (40, 8, 48)


def test_a_test_without_labels_is_refused_and_another_split_taken(sentences, tmp_path):
    hidden = sentences.remove_columns("label").add_column("label", [-1] * len(sentences))
    for name, table in (("train", sentences), ("validation", sentences), ("test", hidden)):
        table.to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"no text of the test split .* task.splits=\{test: validation\}"):
        classification(data=str(tmp_path), tokenizer=WORDS)
    problem = classification(data=str(tmp_path), tokenizer=WORDS, splits={"test": "validation"}, validation=6)
    assert (len(problem.train), len(problem.validation), len(problem.test)) == (42, 6, 48)
    with pytest.raises(UnknownName, match="dev"):
        classification(data=str(tmp_path), tokenizer=WORDS, splits={"test": "dev"})


def test_numbers_as_labels_are_measured_by_rank(sentences, tmp_path):
    scores = sentences.map(lambda row: {"label": row["label"] + len(row["sentence"]) / 100})
    scores.to_parquet(tmp_path / "train.parquet")
    problem = classification(data=str(tmp_path), tokenizer=WORDS, regression=True)
    assert (problem.metric, problem.higher_is_better, problem.num_classes) == ("spearman", True, 1)
    labels = problem.test.batch(range(len(problem.test))).labels
    assert labels.shape == (len(problem.test), 1)
    found = problem.exam.measure(Collected(labels.double() ** 3, labels.double(), torch.arange(len(labels))))
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] < 1
    assert found["mse"] > 0


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"text": "label"}, DataError, "text was expected"),
        ({"label": "sentense"}, UnknownName, "sentence"),
        ({"pair": "other"}, UnknownName, "other"),
        ({"tokenizer": {"pieces": 300}}, UnknownName, "wordpiece"),
        ({"tokenizer": {"words": 10}}, RecipeError, "at least 300"),
        ({"length": 2}, DataError, "at least 4"),
        ({"regression": True, "watch": [1]}, RecipeError, "leave one"),
        ({"splits": {"dev": "train"}}, UnknownName, "dev"),
    ],
)
def test_what_is_refused(folder, settings, error, says):
    with pytest.raises(error, match=says):
        classification(**{"data": folder, "tokenizer": WORDS, **settings})


def test_hidden_tokens_depend_on_text_place_and_epoch_alone(problem):
    change = problem.augment({"mask": 0.5})
    batch = problem.train.batch([3, 7, 9])
    number = problem.network_options["words"].mask
    hidden = change(batch, 5).inputs["input_ids"] == number
    assert bool(hidden.any())
    assert not bool(hidden[:, 0].any()), "special tokens stay"
    alone = change(problem.train.batch([7]), 5).inputs["input_ids"] == number
    assert torch.equal(hidden[1, : alone.shape[1]], alone[0])
    assert not torch.equal(hidden, change(batch, 6).inputs["input_ids"] == number)
    with pytest.raises(UnknownName, match="mask"):
        problem.augment({"masks": 0.1})
