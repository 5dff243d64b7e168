from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import tutelage as tl
from tutelage.data import Examples, Subset
from tutelage.errors import DataError, ModelError, RecipeError, TutelageWarning
from tutelage.runs.doubtful_data import warn_of_overlap
from tutelage.runs.study_of import Wanted, study_of
from tutelage.tasks.exam import ClassExam
from tutelage.tasks.problem import Problem

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(240, 4, generator=GENERATOR)
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def teacher() -> nn.Linear:
    """It names most of the classes."""
    network = nn.Linear(4, 3)
    with torch.no_grad():
        network.weight.zero_()
        network.weight[0, :2], network.weight[2, :2] = -4.0, 4.0
        network.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    return network


def problem(train: Examples, test: Examples) -> Problem:
    return Problem(train, train, test, ClassExam(), num_classes=3, class_names=["a", "b", "c"])


def test_a_test_set_that_was_trained_on_is_told_of() -> None:
    train, other = Examples(X[:200], Y[:200]), Examples(X[200:], Y[200:])
    with pytest.warns(TutelageWarning, match=r"40 of 40 test examples .* are in the training data"):
        warn_of_overlap(problem(train, Subset(train, range(30, 70))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_overlap(problem(train, other))


@pytest.mark.slow
def test_labels_of_other_inputs_are_told_of_and_take_the_credit_away(tmp_path) -> None:
    run = tl.distill(
        teacher(),
        lambda: nn.Linear(4, 3),
        (X[:160], (Y[:160] + 1) % 3),
        (X[160:200], Y[160:200]),
        test=(X[200:], Y[200:]),
        epochs=20,
        lr=0.05,
        seeds=3,
        out=str(tmp_path / "run"),
    )
    assert any("do the training labels belong to their inputs?" in line for line in run.verdict.doubts)
    assert run.verdict.credit in (None, "nobody")
    assert run.results["verdict"]["doubts"] == list(run.verdict.doubts)


def wanted(student: nn.Module, labels: torch.Tensor, **how: object) -> Wanted:
    return Wanted(teacher=teacher(), student=student, train=(X, labels), validation=(X, Y), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("student", "labels", "how", "kind", "said"),
    [
        (nn.Linear(4, 3), Y, {"temperature": "4"}, RecipeError, "temperature came as '4', a str"),
        (nn.Linear(4, 3).requires_grad_(False), Y, {}, ModelError, r"the student \(Linear\) has no weight"),
        (
            nn.Linear(4, 3),
            torch.zeros(240, 3).where(torch.arange(240)[:, None] != 7, torch.inf),
            {},
            DataError,
            r"in 1 of 240 examples \(the first is number 7\)",
        ),
    ],
)
def test_what_is_refused(student, labels, how, kind, said) -> None:
    with pytest.raises(kind, match=said):
        study_of(wanted(student, labels, **how))


def numbers(labels: torch.Tensor):
    network = nn.Linear(4, 1)
    return study_of(
        Wanted(teacher=network, student=lambda: nn.Linear(4, 1), train=(X, labels), metric="r2")  # type: ignore[arg-type]
    )


def test_numbers_far_from_zero_are_told_of_and_a_guess_of_them_is_known() -> None:
    with pytest.warns(TutelageWarning, match="run from .* Scale them"):
        study = numbers(150 + 70 * X[:, 0])
    assert study.problem.chance == pytest.approx(0, abs=0.1)  # the mean explains nothing
    with pytest.warns(TutelageWarning, match=r"are 0 and 100 alone, .* give \(labels > 50\)"):
        numbers(100.0 * (X[:, 0] > 0))
