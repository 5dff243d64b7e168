from __future__ import annotations

import pytest
import torch

from tutelage.errors import RecipeError, UnknownName
from tutelage.teachers import Cautious, Committee, Ensemble, Frozen, Panel, Teacher

READY = {"frozen": {"model": {"mlp": {"widths": [8]}}}}


def test_an_ensemble_trains_its_members_one_after_the_other(make, trained, finish, logits):
    forest = {"predictor": {"model": {"sklearn.ensemble:ExtraTreesClassifier": {"n_estimators": 5}}}}
    members = [trained(seed=2), forest, trained()]
    study = make(teacher={"ensemble": {"members": members, "weights": [1, 2, 1]}})
    assert len(study.teacher.arms) == 2
    assert study.teacher.seed == 2
    teacher = finish(study)
    assert isinstance(teacher, Ensemble)
    assert logits(teacher, study).shape == (5, 3)
    assert study.teacher.seconds() > 0


def test_a_members_seed_that_would_not_be_used_is_refused(make, trained):
    make(teacher={"ensemble": {"members": [trained(seed=2), trained(seed=3)]}})
    with pytest.raises(RecipeError, match=r"member 1 has the seed 9.*this one gets 3"):
        make(teacher={"ensemble": {"members": [trained(seed=2), trained(seed=9)]}})


@pytest.mark.parametrize(
    ("ensemble", "said"),
    [({"members": []}, "members"), ({"members": [READY], "mean": "median"}, "teacher.ensemble: mean")],
)
def test_what_an_ensemble_lacks_is_said(make, ensemble, said):
    with pytest.raises(RecipeError, match=said):
        make(teacher={"ensemble": ensemble})


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("panel", {"by": "agreement", "sharpness": 2.0}, Panel),
        ("committee", {"softness": 0.1}, Committee),
        ("ensemble", {"weights": "learned"}, Ensemble),
    ],
)
def test_teachers_of_several_members(make, trained, finish, logits, name, settings, kind):
    study = make(teacher={name: {"members": [trained(), READY], **settings}})
    assert len(study.teacher.arms) == 1
    teacher = finish(study)
    assert isinstance(teacher, kind)
    torch.testing.assert_close(logits(teacher, study).exp().sum(-1), torch.ones(5))
    assert torch.equal(logits(finish_with(study, teacher), study), logits(teacher, study))


def finish_with(study, teacher: Teacher) -> Teacher:
    """The teacher of another stage, from the same trained networks."""
    networks = [member.network for member in teacher.members if isinstance(member, Frozen)]
    return study.teacher.finish(networks[: len(study.teacher.arms)])


def test_a_cautious_teacher_asks_another(make, trained, finish):
    study = make(teacher={"cautious": {"teacher": trained(remember=True), "least": 0.9}})
    assert not study.teacher.remember
    teacher = finish(study)
    assert isinstance(teacher, Cautious)
    assert teacher(study.problem.train.batch(range(5))).mask.shape == (5,)


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ({"panel": {"members": [READY], "by": "agrement"}}, "Nearest: 'agreement'"),
        ({"panel": {"members": []}}, "members"),
        ({"committee": {"members": [READY], "softness": 0}}, "Committee refused"),
    ],
)
def test_what_teachers_of_others_refuse_is_said_in_a_recipes_words(make, finish, teacher, said):
    with pytest.raises((RecipeError, UnknownName), match=said):
        finish(make(teacher=teacher))
