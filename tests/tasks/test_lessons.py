"""Lessons: what competes when a network is asked, and what it is worth on each."""

from __future__ import annotations

import pytest
import torch

from tutelage.data import Examples, Loader
from tutelage.errors import DataError
from tutelage.evaluation import Predictions
from tutelage.tasks.exam import ClassExam
from tutelage.tasks.lessons import accuracies
from tutelage.tasks.tabular import classification
from tutelage.types import UNLABELLED, HeadLogits, Outputs

LESSONS = [[0, 1], [2, 3]]
LOGITS = torch.tensor(
    [
        [3.0, 1.0, 5.0, 0.0],  # a 0: right in its lesson, a 2 among all
        [0.0, 1.0, 0.0, 4.0],  # a 1: the same, a 3
        [9.0, 0.0, 2.0, 1.0],  # a 2: the same, a 0
        [0.0, 0.0, 2.0, 1.0],  # a 3: a 2 either way
    ]
)
LABELS = torch.tensor([0, 1, 2, 3])


def asked(exam: ClassExam, *, head: bool = False) -> Predictions:
    def answer(batch):
        rows = LOGITS[batch.ids]
        return Outputs(head=HeadLogits(rows, torch.eye(4))) if head else Outputs(rows)

    data = Examples(torch.zeros(4, 1), LABELS)
    return exam.ask(answer, Loader(data, batch_size=2, shuffle=False), device=torch.device("cpu"))


@pytest.mark.parametrize("head", [False, True])
def test_where_the_lesson_is_given_its_classes_alone_compete(head):
    exam = ClassExam(lessons=LESSONS, lesson_given=True)
    answers = asked(exam, head=head)
    assert exam.measure(answers)["accuracy"] == 0.75
    assert exam.per_example(answers).tolist() == [1, 1, 1, 0]
    assert exam.by_lesson(answers, [0, 1, 2, 3]) == [1.0, 0.5]
    assert 0 < exam.calibration(answers)["nll"] < 2  # what cannot be is no infinite surprise


def test_else_all_compete_and_both_are_told():
    exam = ClassExam(lessons=LESSONS)
    answers = asked(exam)
    found = exam.measure(answers)
    assert (found["accuracy"], found["accuracy_in_lesson"]) == (0.0, 0.75)
    assert exam.by_lesson(answers, [0, 1]) == [1.0, 0.0]  # a 2 lost to the 0s that were learnt
    assert exam.by_lesson(answers, [0, 1, 2, 3]) == [0.0, 0.0]
    assert exam.by_lesson(answers, []) == [1.0, 0.5]


def test_without_lessons_nothing_changes():
    exam = ClassExam()
    assert exam.measure(asked(exam)).keys() == {
        "accuracy",
        "errors",
        "balanced_accuracy",
        "worst_class_accuracy",
    }
    assert (tuple(exam.lessons), exam.lesson_given) == ((), False)


def test_what_has_no_label_is_in_no_lesson():
    labels = torch.tensor([0, UNLABELLED, 2, UNLABELLED])
    assert accuracies(LOGITS, labels, LESSONS, []) == [1.0, 1.0]


@pytest.mark.parametrize("lessons", [[[0], [1, 2]], [[0, 1], [1, 2]], [[-1, 0]], [[0, 1], []]])
def test_each_class_is_in_one_lesson_of_several(lessons):
    with pytest.raises(DataError, match="each class in one of them"):
        ClassExam(lessons=lessons)


def test_a_lesson_that_is_given_must_be_there():
    with pytest.raises(DataError, match="lesson_given came without lessons"):
        ClassExam(lesson_given=True)


def test_a_task_has_lessons_and_chance_knows_of_them():
    data = {"data": "sklearn.digits", "lessons": [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]}
    free, given = classification(**data), classification(**data, lesson_given=True)
    assert free.chance == pytest.approx(0.1, abs=0.01)
    assert given.chance == pytest.approx(0.2, abs=0.02)
    with pytest.raises(DataError, match="lessons names the class 12, and there are 10 classes"):
        classification(data="sklearn.digits", lessons=[[0, 12]])
