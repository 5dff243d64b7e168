"""Stages that learn some classes: their data, their control, and which arms learn lessons in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tutelage.errors import RecipeError
from tutelage.studies import Study
from tutelage.studies.lessons import lesson_stages

SGD = {"student": {"sgd": {"lr": 0.1}}}
TRAIN = {"steps": 4, "batch_size": 16, "keep": "last"}


def stage(classes: list[int], scheme: Any = "alone", **more: Any) -> dict[str, Any]:
    return {"classes": classes, "scheme": scheme, "optimizers": SGD, "train": TRAIN} | more


def labels_of(study: Study, arm: str) -> list[list[int]]:
    held = study.arms[arm]
    return [sorted(set(held.source_of(each).labels.tolist())) for _, each in held.trainings]


KEEPS = {
    "offline": {
        "matches": [
            {"loss": "response.HardLabel", "classes": [2, 1]},
            {"loss": "response.SoftTarget", "classes": [0, 1], "temperature": 2},
        ]
    }
}
STAGES = [stage([0]), stage([1, 2], KEEPS, teacher="before")]


@pytest.fixture
def lessons(make: Callable[..., Study]) -> Callable[..., Study]:
    """The plain recipe whose student learns class 0, and then the other two."""

    def made(**changes: Any) -> Study:
        return make(**{"teacher": None, "stages": STAGES} | changes)

    return made


def test_stages_and_their_control_train_on_the_same_classes(lessons):
    study = lessons()
    assert labels_of(study, "student") == labels_of(study, "control") == [[0], [1, 2]]
    ours, theirs = ([each for _, each in study.arms[name].trainings] for name in ("student", "control"))
    assert [each.data for each in ours] == [each.data for each in theirs]
    assert [each.settings.steps for each in theirs] == [4, 4]
    assert ours[1].asks
    assert not any(each.asks for each in theirs)
    assert [term.text for term in theirs[1].declared.terms] == ["HardLabel(smoothing=0.0) of classes 2, 1"]


def test_a_memory_stands_beside_the_classes(lessons):
    also = {"with memory": {"stages": [stage([0]), stage([1, 2], memory={"classes": [0], "per_class": 3})]}}
    study = lessons(also=also)
    part = list(study.arms["with memory"].trainings)[1][1].data
    assert torch.bincount(part.labels)[0] == 3
    assert labels_of(study, "with memory") == [[0], [0, 1, 2]]


def test_classes_of_the_whole_training_split_or_of_what_the_student_is_taught_on(lessons):
    stages = [stage([0]), stage([1], data="train")]
    few, whole = (
        each.data for _, each in lessons(stages=stages, transfer={"fraction": 0.5}).arms["student"].trainings
    )
    assert len(whole) == pytest.approx(2 * len(few), abs=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": [stage([0]), stage([1], data="made")]}, "leave them out beside data: made"),
        (
            {"stages": [stage([0]) | {"classes": None, "memory": {"classes": [0], "per_class": 1}}]},
            "name them",
        ),
        ({"control": {"data": "noise"}}, "control.data is noise.*classes of their own"),
    ],
)
def test_what_does_not_go_together(lessons, changes, said):
    with pytest.raises(RecipeError, match=said):
        lessons(**changes)


def test_arms_that_learn_the_lessons_in_order(lessons, plain):
    task = {"tabular.classification": {"data": "sklearn.digits", "lessons": [[0, 1], [2, 3]]}}
    first, second = stage([0, 1]), stage([2, 3])
    also = {
        "remembering": {"stages": [first, stage([2, 3], memory={"classes": [0, 1], "per_class": 2})]},
        "backwards": {"stages": [second, first]},
        "at once": {"stages": [stage([0, 1, 2, 3])]},
        "all twice": {"stages": [stage([0, 1, 2, 3]), stage([0, 1, 2, 3])]},
    }
    study = lessons(task=task, stages=[first, second], also=also)
    learnt = {name for name in study.arms if lesson_stages(study, name) == [0, 1]}
    assert learnt == {"student", "control", "remembering"}
    assert all(not lesson_stages(study, name) for name in study.arms.keys() - learnt)
    assert lesson_stages(lessons(), "student") == []
