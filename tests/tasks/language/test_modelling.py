from __future__ import annotations

import math

import pytest
import torch

from tutelage.evaluation import predict
from tutelage.tasks.language import modelling
from tutelage.tasks.language.vocabulary import Vocabulary
from tutelage.types import Outputs


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = [f"the {a} saw a {b}" for a in ("cat", "dog", "owl") for b in ("fox", "bee", "ant", "elk")]
    (folder / "train.txt").write_text("\n\n".join(lines))
    (folder / "test.txt").write_text("the cat saw a dog\n\nthe dog ran")
    return modelling(
        data=str(folder), documents="paragraphs", tokenizer={"bpe": 280}, length=16, validation=2
    )


def test_a_problem_of_text(problem):
    assert problem.metric == "nll"
    assert not problem.higher_is_better
    assert {**problem.network_options, "words": None} == {
        "vocabulary": problem.num_classes,
        "length": 16,
        "words": None,
    }
    batch = problem.train.batch([0])
    assert set(batch.inputs) == {"input_ids", "position_ids", "documents"}
    assert int(problem.train.tokens.max()) < problem.num_classes
    assert 0 < problem.chance < math.log(problem.num_classes)


def test_an_even_guess_is_measured_by_hand(problem):
    classes = problem.num_classes

    def even(batch):
        return Outputs(torch.zeros(*batch.labels.shape, classes))

    found = problem.exam.measure(predict(even, [problem.test.batch(range(len(problem.test)))], device="cpu"))
    assert next(iter(found)) == "nll"
    assert found["nll"] == pytest.approx(math.log(classes))
    assert found["perplexity"] == pytest.approx(classes)
    batch = problem.test.batch(range(len(problem.test)))
    lengths = problem.exam.lengths
    count = int(lengths[batch.labels[batch.mask]].sum())
    assert found["bits_per_byte"] == pytest.approx(math.log2(classes) * batch.count / count)


def test_the_tokenizer_goes_with_the_student(problem, tmp_path):
    problem.write_files(tmp_path)
    kept = Vocabulary.of(str(tmp_path / "tokenizer"), [])
    assert len(kept) == problem.num_classes
    first = problem.train.tokens[:6].tolist()
    assert kept.encode([kept.tokenizer.decode(first)])[0][:6].tolist() == first


def test_chance_is_the_share_of_each_token_in_training(problem):
    train, test = (part.batch(range(len(part))) for part in (problem.train, problem.test))
    seen = torch.bincount(train.labels[train.mask], minlength=problem.num_classes) + 1.0
    expected = -(seen / seen.sum()).log()[test.labels[test.mask]].mean()
    assert problem.chance == pytest.approx(float(expected))


def test_tokens_are_learnt_from_the_training_text_alone(tmp_path):
    (tmp_path / "train.txt").write_text("aa bb\n\ncc dd\n\nee ff")
    (tmp_path / "test.txt").write_text("xyxyxyxy " * 50)
    settings = {"data": str(tmp_path), "documents": "paragraphs", "tokenizer": {"bpe": 300}}
    settings |= {"length": 8, "validation": 1}
    one = modelling(**settings).num_classes
    (tmp_path / "test.txt").write_text("something else " * 50)
    assert modelling(**settings).num_classes == one
