from __future__ import annotations

import pytest
from torch import nn

import tutelage.losses
from tutelage.errors import RecipeError, UnknownName
from tutelage.losses.response import SoftTarget
from tutelage.recipes.names import call, find, public_names
from tutelage.tasks.vision import models
from tutelage.trust import trusting


def test_a_name_is_an_attribute_of_its_folder():
    assert find("loss", "response.SoftTarget", tutelage.losses) is SoftTarget
    assert find("model", "resnet8", models) is models.resnet8


def test_outside_code_is_a_module_and_a_name():
    with trusting(["torch.nn"]):
        assert find("model", "torch.nn:Linear", models) is nn.Linear
        assert find("model", "torch.nn.modules.linear:Linear", models) is nn.Linear


@pytest.mark.parametrize(
    ("came", "said"),
    [
        ("response.SoftTargte", "Nearest: 'response.SoftTarget'"),
        ("SoftTarget", "Nearest: 'response.SoftTarget'"),
        ("response.math", "unknown loss"),
        ("response", "unknown loss 'response'.*Known: .*response.SoftTarget"),
        ("response.SoftTarget.forward", "unknown loss"),
        ("", "unknown loss ''"),
        ("tutelage.losses.response:SoftTargte", "Nearest: 'tutelage.losses.response:SoftTarget'"),
    ],
)
def test_an_unknown_name_says_the_nearest(came: str, said: str):
    with pytest.raises(UnknownName, match=said):
        find("loss", came, tutelage.losses)


def test_an_outside_module_that_is_not_there_is_said():
    with trusting(["no_such_module"]), pytest.raises(RecipeError, match="cannot import 'no_such_module'"):
        find("loss", "no_such_module:Loss", tutelage.losses)


def test_public_names_reach_into_modules():
    found = public_names(tutelage.losses)
    assert {"response.SoftTarget", "feature.Hint"} <= set(found)


def test_a_call_refuses_what_is_unknown_missing_or_refused():
    with pytest.raises(UnknownName, match=r"'temprature'. Nearest: 'temperature'"):
        call("loss", "response.SoftTarget", SoftTarget, {"temprature": 2})
    with pytest.raises(RecipeError, match="needs the settings widths"):
        call("model", "mlp", models.mlp, {"num_classes": 2, "in_features": 3})
    with pytest.raises(RecipeError, match=r"refused {'temperature': -1}: temperature came as -1"):
        call("loss", "response.SoftTarget", SoftTarget, {"temperature": -1})
    with pytest.raises(RecipeError, match="model mlp refused"):
        call("model", "mlp", models.mlp, {"num_classes": 2, "in_features": 3, "widths": 4})


def _broken() -> None:
    raise ValueError("a bug in somebody's code")


def test_errors_of_outside_code_keep_their_kind():
    with pytest.raises(ValueError, match=r"^a bug in somebody's code$"):
        call("model", "somewhere:_broken", _broken, {})
