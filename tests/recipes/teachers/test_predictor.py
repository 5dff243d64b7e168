from __future__ import annotations

import pytest
import torch

from tutelage.errors import UnknownName
from tutelage.teachers import Predictor


def test_a_predictor_is_fitted_once_when_it_is_asked_for(make, finish, logits):
    model = {"sklearn.ensemble:ExtraTreesClassifier": {"n_estimators": 7}}
    study = make(teacher={"predictor": {"model": model, "seed": 4}})
    assert study.teacher.seconds() == 0
    teacher = finish(study)
    assert isinstance(teacher, Predictor)
    assert logits(teacher, study).shape == (5, 3)
    assert torch.equal(logits(teacher, study), logits(finish(study), study))
    took = study.teacher.seconds()
    finish(study)
    assert study.teacher.seconds() == took > 0
    assert study.teacher.nbytes(teacher) > 1000


def test_a_predictors_unknown_setting_names_the_nearest(make):
    with pytest.raises(UnknownName, match="Nearest: 'n_estimators'"):
        make(teacher={"predictor": {"model": {"sklearn.ensemble:ExtraTreesClassifier": {"n_estimator": 7}}}})
