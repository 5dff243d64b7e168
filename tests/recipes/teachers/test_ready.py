from __future__ import annotations

import pytest

from tutelage.errors import RecipeError
from tutelage.teachers import MovingAverage, PastSelf


@pytest.mark.parametrize(
    ("teacher", "kind"), [({"moving_average": {"decay": 0.9}}, MovingAverage), ("past_self", PastSelf)]
)
def test_teachers_that_follow_the_student(make, finish, logits, teacher, kind):
    study = make(teacher=teacher)
    held = finish(study)
    assert isinstance(held, kind)
    assert held.moves
    assert logits(held.beside(study.arms["student"].networks["student"]()), study).shape == (5, 3)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"moving_average": {"decay": 1.0}}, "MovingAverage refused"),
        ({"past_self": {"every": 0}}, "PastSelf refused"),
        ({"virtual": {"correct": 0.1}}, "Virtual refused"),
    ],
)
def test_what_ready_teachers_refuse_is_said_in_a_recipes_words(make, finish, teacher, said):
    with pytest.raises(RecipeError, match=said):
        finish(make(teacher=teacher))


def test_a_virtual_teacher_knows_how_many_classes_there_are(make, finish, logits):
    study = make(teacher={"virtual": {"correct": 0.8}})
    assert logits(finish(study), study).exp().amax(-1).tolist() == pytest.approx([0.8] * 5)
