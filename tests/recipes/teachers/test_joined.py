"""Teachers that each know a part, as recipes describe them."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.teachers import Heads, Union

SGD = {"student": {"sgd": {"lr": 0.1}}}
TASKS = {
    "task": {"vision.two_tasks": {"data": "sklearn.digits", "bins": 3, "train": 100, "validation": 60}},
    "student": {"model": {"mlp_with_heads": {"widths": [6]}}},
    "stages": [{"scheme": "alone", "optimizers": SGD, "train": {"epochs": 1}}],
}


def union(trained, *classes):
    return {"union": {"members": [{"classes": list(held), "teacher": trained()} for held in classes]}}


def test_a_union_trains_each_teacher_on_its_own_classes(make, trained, finish, logits):
    study = make(teacher=union(trained, [0, 1], [2, 1]))
    first, second = study.teacher.arms
    assert [len(arm.source) for arm in (first, second)] == [60, 60]
    assert second.source.labels.bincount().tolist() == [30, 30]
    assert second.problem.class_names == ("virginica", "versicolor")
    assert second.problem.network_options["num_classes"] == 2
    whole, part = study.problem.train.batch(range(90)), second.source.batch(range(60))
    own = dict(zip(whole.ids.tolist(), whole.labels.tolist(), strict=True))
    assert [own[each] for each in part.ids.tolist()] == torch.where(part.labels == 0, 2, 1).tolist()
    teacher = finish(study)
    assert isinstance(teacher, Union)
    assert logits(teacher, study).shape == (5, 3)


def test_what_a_union_lacks(make, trained):
    with pytest.raises(RecipeError, match=r"nobody knows the classes \[2\]"):
        make(teacher=union(trained, [0, 1]))
    with pytest.raises(RecipeError, match=r"classes came as \[2, 3\]; expected different ones of 0 to 2"):
        make(teacher=union(trained, [0, 1], [2, 3]))
    with pytest.raises(RecipeError, match="Union refused"):
        make(teacher={"union": {**union(trained, [0, 1, 2])["union"], "temperature": 0}}).teacher.finish(
            [make(teacher=trained()).teacher.arms[0].networks["student"]()]
        )


@pytest.fixture(scope="module")
def study():
    teacher = {"frozen": {"model": {"mlp": {"widths": [8]}}, "train": {"epochs": 1}, "optimizers": SGD}}
    members = {"stroke": teacher, "digit": teacher}
    return build(parse({**TASKS, "teacher": {"heads": {"members": members}}}), "tasks")


def test_heads_train_each_teacher_on_its_own_labels(study):
    widths = [arm.problem.num_classes for arm in study.teacher.arms]
    assert widths == [3, 10]
    assert study.problem.num_classes is None
    teacher = study.teacher.finish([arm.networks["student"]() for arm in study.teacher.arms])
    assert isinstance(teacher, Heads)
    teacher.watch(study.problem.exam.layers)
    answer = teacher(study.problem.train.batch(range(4)))
    assert {path: held.shape[-1] for path, held in answer.features.items()} == {
        ":output.digit": 10,
        ":output.stroke": 3,
    }


def test_a_task_that_is_not_there(make, trained):
    with pytest.raises(RecipeError, match="teaches several tasks, and this task is one"):
        make(teacher={"heads": {"members": {"digit": trained()}}})
    with pytest.raises(UnknownName, match=r"unknown task of teacher.heads: 'digits'.*Nearest: 'digit'"):
        build(parse({**TASKS, "teacher": {"heads": {"members": {"digits": trained()}}}}), "tasks")
