"""How networks of several heads are examined."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import DataError, ModelError, UnknownName
from tutelage.losses import response
from tutelage.tasks.heads import HeadsExam
from tutelage.types import UNLABELLED, Batch, Outputs

EXAM = HeadsExam({"digit": 3, "odd": 2})
DIGITS, ODD = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 0, 1])
CPU = torch.device("cpu")


def batch(odd: torch.Tensor = ODD, mask: torch.Tensor | None = None) -> Batch:
    labels = {"digit": DIGITS, "odd": odd}
    return Batch(inputs=torch.zeros(4, 1), ids=torch.tensor([7, 3, 5, 1]), labels=labels, mask=mask)


def said(digits: list[int], odd: list[int]) -> Outputs:
    eye = torch.eye(3)
    return Outputs(features={":output.digit": eye[digits], ":output.odd": eye[odd][:, :2]})


def ask(outputs: Outputs, asked: Batch | None = None):
    return EXAM.ask(lambda _: outputs, [asked or batch()], device=CPU)


def test_each_head_has_its_accuracy():
    answers = ask(said([0, 1, 0, 0], [0, 1, 0, 0]))
    assert EXAM.measure(answers) == {"mean_accuracy": 0.625, "digit_accuracy": 0.5, "odd_accuracy": 0.75}
    assert EXAM.per_example(answers).tolist() == [0.0, 1.0, 0.5, 1.0]  # ids 1, 3, 5, 7
    assert EXAM.per_example(answers).mean() == 0.625
    assert EXAM.measure(answers.take(torch.tensor([0, 1])))["mean_accuracy"] == 1.0


def test_the_verdict_may_be_about_one_head():
    exam = HeadsExam({"digit": 3, "odd": 2}, judged="odd")
    answers = ask(said([0, 1, 0, 0], [0, 1, 0, 0]))
    assert exam.metric == "odd_accuracy"
    assert exam.per_example(answers).tolist() == [0.0, 1.0, 1.0, 1.0]
    with pytest.raises(UnknownName, match="unknown head 'even'"):
        HeadsExam({"odd": 2}, judged="even")


def test_masks_and_missing_labels():
    answers = ask(said([0, 1, 0, 0], [0, 1, 0, 0]), batch(mask=torch.tensor([True, True, False, False])))
    assert (len(answers), EXAM.measure(answers)["mean_accuracy"]) == (2, 1.0)
    answers = ask(said([0, 1, 0, 0], [0, 1, 0, 0]), batch(odd=torch.tensor([0, UNLABELLED, 1, UNLABELLED])))
    assert EXAM.measure(answers)["odd_accuracy"] == 0.5
    assert EXAM.per_example(answers) is None


def test_what_a_student_alone_learns_by():
    matches = EXAM.alone()
    assert [(match.guided, match.labels) for match in matches] == [
        ((":output.digit",), "digit"),
        ((":output.odd",), "odd"),
    ]
    assert all(isinstance(match.loss, response.HardLabel) for match in matches)


def test_what_cannot_be_examined():
    with pytest.raises(ModelError, match=r"'digit' with logits \[4, 3\]; came \[4, 2\]"):
        ask(Outputs(features={":output.digit": torch.zeros(4, 2)}))
    with pytest.raises(ModelError, match="came none"):
        ask(Outputs(logits=torch.zeros(4, 3)))
    with pytest.raises(ModelError, match="NaN"):
        ask(Outputs(features={":output.digit": torch.full((4, 3), torch.nan)}))
    with pytest.raises(DataError, match="labels came as Tensor"):
        ask(said([0] * 4, [0] * 4), Batch(torch.zeros(4, 1), torch.arange(4), labels=DIGITS))
    with pytest.raises(DataError, match="not one example"):
        ask(said([0] * 4, [0] * 4), batch(mask=torch.zeros(4, dtype=torch.bool)))
