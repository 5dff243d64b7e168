from __future__ import annotations

import inspect

import pytest

from tutelage import teachers
from tutelage.errors import UnknownName
from tutelage.recipes.teachers import SPECS

NOT_NAMED = {"ahead", "function", "remembered", "someclasses", "specialists"}
"""Teachers of code, or of a setting, which no recipe names."""

OF_A_FIELD = {"across"}
"""Teachers that live with the field whose data they read."""


@pytest.mark.parametrize(("name", "nearest"), [("frosen", "frozen"), ("pannel", "panel")])
def test_an_unknown_teacher_names_the_nearest(make, name, nearest):
    with pytest.raises(UnknownName, match=rf"unknown teacher '{name}'. Nearest: '{nearest}'"):
        make(teacher={name: {}})


def test_every_kind_is_a_teacher_and_every_teacher_a_kind():
    known = [getattr(teachers, name) for name in teachers.__all__ if name != "Teacher"]
    classes = [held for held in known if inspect.isclass(held) and issubclass(held, teachers.Teacher)]
    names = {held.__name__.lower() for held in classes}
    assert {key.replace("_", "") for key in SPECS} == (names - NOT_NAMED) | OF_A_FIELD


def test_a_member_of_members_is_asked_too(make, trained, finish):
    inner = {"ensemble": {"members": [trained(seed=4), trained()]}}
    study = make(teacher={"panel": {"members": [{"cautious": {"teacher": inner}}, trained()]}})
    assert (len(study.teacher.arms), study.teacher.seed) == (3, 4)
    (cautious, frozen) = finish(study).members
    assert [type(one).__name__ for one in (cautious, frozen)] == ["Cautious", "Frozen"]
