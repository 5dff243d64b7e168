"""What is said of answers and labels that look as if something else were meant; nothing trains here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import tutelage as tl
from tutelage.data import Cast, Items, Subset, gaps_of, source_of
from tutelage.evaluation import Verdict
from tutelage.runs.judging import with_doubts
from tutelage.runs.study_of import Wanted, study_of

N, OUT = 60, 4
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(N) % OUT
SEVERAL = torch.nn.functional.one_hot(CLASSES, OUT) | torch.nn.functional.one_hot((CLASSES + 1) % OUT, OUT)
SIGNS = torch.where(X[:, :OUT] > 0, 1.0, -1.0)


def net(*after: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(5, OUT), *after)


def said(labels: torch.Tensor, teacher: Any = None, student: Any = net) -> Sequence[str]:
    wanted = Wanted.of(
        teacher=net() if teacher is None else teacher, student=student, train=(X, labels), seeds=1
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study_of(wanted)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("labels", "more", "words"),
    [
        (torch.nn.functional.one_hot(CLASSES, OUT), {}, "labels.argmax(1)"),
        (SIGNS, {}, "(labels > 0)"),
        (SEVERAL, {"teacher": net(nn.Sigmoid())}, "torch.logit(teacher(inputs), eps=1e-6)"),
        (CLASSES, {"teacher": net(nn.Softmax(-1))}, ".clamp(min=1e-6).log()"),
        (CLASSES, {"student": lambda: net(nn.Softmax(-1))}, "the student answers with probabilities"),
    ],
)
def test_what_looks_otherwise_is_told_of(labels: torch.Tensor, more: dict[str, Any], words: str) -> None:
    (only,) = said(labels, **more)
    assert words in only


@pytest.mark.parametrize("labels", [SEVERAL, CLASSES, SIGNS * 2])
def test_what_looks_as_it_is_meant_is_not(labels: torch.Tensor) -> None:
    assert said(labels) == []


def test_gaps_are_found_wherever_inputs_lie_in_memory() -> None:
    inputs = X.clone()
    inputs[7, 2], inputs[40, 0] = torch.nan, torch.inf
    pairs = torch.utils.data.TensorDataset(inputs, CLASSES)
    for data in ((inputs, CLASSES), pairs, torch.utils.data.DataLoader(pairs, batch_size=9)):
        source, _ = source_of(data, where="train")
        assert gaps_of(source).tolist() == [7, 40]
        assert gaps_of(Cast(Subset(source, [40, 3]))).tolist() == [0]
    assert gaps_of(Items([(row, 0) for row in inputs])) is None


def verdict(word: str, *advice: str) -> Verdict:
    return Verdict(
        word=word, metric="accuracy", difference=0.1, interval=None, level=0.95, why="More.", advice=advice
    )


def test_an_outcome_that_was_not_done_is_told_to_train_longer_first() -> None:
    line = (
        "student: on validation its accuracy was best at the very end of training, and still improving: "
        "train longer."
    )
    for word in ("worse", "not shown"):
        (found,) = with_doubts([verdict(word, "lower the weight", "train for longer: it takes more")], [line])
        assert found.doubts == (line,)
        assert found.advice[0].startswith("train for longer first")
        assert found.advice[1:] == ("lower the weight",)
        assert with_doubts([verdict(word)], ["placebo: train longer."]) == [verdict(word)]


def test_what_is_at_chance_takes_the_credit_away() -> None:
    line = "The teacher is at chance (accuracy 0.1, chance 0.1): it has nothing to teach."
    (found,) = with_doubts([verdict("better")], [line])
    assert (found.word, found.credit, found.doubts) == ("better", "nobody", (line,))
    assert found.why == "More.; to be read with its doubts"
    assert found.advice == ("mend first what makes the comparison doubtful",)
    (worse,) = with_doubts([verdict("worse", "lower the weight")], [line])
    assert (worse.credit, worse.advice) == (None, ("lower the weight",))


def test_words_of_other_libraries_are_short() -> None:
    with pytest.raises(tl.TutelageError) as refused:
        tl.distill(nn.Linear(9, OUT), net, (X, CLASSES))
    assert "Give inputs as its forward takes them" in str(refused.value)
    assert not re.search(r"\.\.|\.:", str(refused.value))
