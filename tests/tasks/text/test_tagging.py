"""A class for each word: its first piece counts, all else is left out."""

from __future__ import annotations

import datasets
import pytest
import torch

from tutelage.errors import DataError
from tutelage.evaluation import predict
from tutelage.tasks.text import tagging
from tutelage.tasks.text.models import bert
from tutelage.types import UNLABELLED, Outputs

pytest.importorskip("transformers")

ROWS = [(["the", "cats", "sat"], ["DET", "NOUN", "VERB"]), (["unbelievably", "dogs", "ran", "off"], None)]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    to = tmp_path_factory.mktemp("tags")
    tags = [row[1] or ["ADV", "NOUN", "VERB", "ADV"] for row in ROWS]
    columns = {"tokens": [row[0] for row in ROWS] * 20, "upos": tags * 20}
    datasets.Dataset.from_dict(columns).to_parquet(to / "train.parquet")
    return tagging(data=str(to), tokenizer={"wordpiece": 300}, length=16, validation=6, test=6)


def test_the_first_piece_of_a_word_has_its_label(problem):
    assert problem.class_names == ("ADV", "DET", "NOUN", "VERB")
    words = problem.network_options["words"].tokenizer
    batch = problem.train.batch(range(len(problem.train)))
    assert batch.labels.shape == batch.inputs["input_ids"].shape
    assert torch.equal(batch.mask, batch.labels != UNLABELLED)
    for tokens, labels, mask in zip(batch.inputs["input_ids"], batch.labels, batch.mask, strict=True):
        pieces = words.convert_ids_to_tokens(tokens)
        assert not any(
            piece.startswith("##") or piece in ("[CLS]", "[PAD]")
            for piece in (piece for piece, counts in zip(pieces, mask, strict=True) if counts)
        )
        assert int(mask.sum()) in (3, 4)
        assert labels[mask].tolist() in ([1, 2, 3], [0, 2, 3, 0])


def test_words_of_one_text_go_together(problem):
    told = {key: problem.network_options[key] for key in ("num_classes", "vocabulary", "length", "answers")}
    network = bert(hidden=8, **told).eval()
    batch = problem.test.batch(range(6))
    answers = predict(lambda held: Outputs(network(**held.inputs)), [batch], device="cpu")
    assert len(answers) == batch.count
    assert problem.exam.measure(answers)["accuracy"] >= 0
    clusters = problem.exam.clusters(answers, problem.test)
    assert set(clusters.tolist()) == set(batch.ids.tolist())
    assert len(problem.exam.per_example(answers)) == batch.count


def test_a_row_with_too_few_tags_is_refused(tmp_path):
    datasets.Dataset.from_dict({"tokens": [["a", "b"]] * 9, "tags": [[0]] * 9}).to_parquet(
        tmp_path / "train.parquet"
    )
    with pytest.raises(DataError, match="2 words and 1 tags in row 0"):
        tagging(data=str(tmp_path), tokenizer={"words": 300})
