"""What is refused by two small steps of every arm, before anything is trained."""

from __future__ import annotations

import pytest
from torch import nn

from tutelage.engine import Runtime
from tutelage.errors import ModelError
from tutelage.recipes import build
from tutelage.recipes.load import parse
from tutelage.training.rehearsal import rehearse
from tutelage.trust import trusting

SGD = {"student": {"sgd": {"lr": 0.1}}}
ALONE = {"scheme": "alone", "optimizers": SGD, "train": {"steps": 4, "batch_size": 16}}


class Remembers(nn.Linear):
    """Has a state that is no tensor."""

    def __init__(self, *, num_classes: int, in_features: int) -> None:
        super().__init__(in_features, num_classes)

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": 3}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Nothing to set."""


def rehearsed(**changes) -> None:
    tree = {
        "task": {"tabular.classification": {"data": "sklearn.iris", "validation": 30, "test": 30}},
        "student": {"model": {"mlp": {"widths": [4]}}},
        "stages": [ALONE],
        "control": False,
    }
    rehearse(build(parse(tree | changes), "flowers"), Runtime(cpu=True, quiet=True))


def test_what_fits_passes():
    rehearsed(correct={"prior_bias": {"classes": [0], "prior": 0.3}})


def test_a_correction_that_does_not_fit():
    with pytest.raises(ModelError, match="needs a prior"):
        rehearsed(correct={"prior_bias": {"classes": [0]}})


def test_a_state_that_safetensors_cannot_hold():
    with (
        trusting([__name__]),
        pytest.raises(ModelError, match=r"the student's state has _extra_state, a dict; .* as a buffer"),
    ):
        rehearsed(student={"model": {f"{__name__}:Remembers": {}}})
