"""The base of all losses reads what they need."""

from __future__ import annotations

import pytest
import torch

from tutelage.losses import Loss
from tutelage.losses.response import HardLabel, SoftTarget


def test_needs_are_read_from_the_signature():
    assert SoftTarget.needs == {"teacher", "mask"}
    assert HardLabel().needs == {"labels", "mask"}


def test_a_subclass_inherits_needs_until_it_has_its_own_forward():
    class Colder(SoftTarget):
        pass

    class Abstract(Loss):
        pass

    class Bank(Loss):
        def forward(self, student, teacher, ids):
            return (student - teacher).sum()

    assert Colder.needs == SoftTarget.needs
    assert Bank.needs == {"teacher", "ids"}
    assert Abstract.needs == Loss.needs == frozenset()


@pytest.mark.parametrize(
    "forward",
    [
        lambda self: None,
        lambda self, teacher, student: None,
        lambda self, student, mask, teacher: None,
        lambda self, student, target: None,
        lambda self, student, *others: None,
    ],
)
def test_other_arguments_are_refused_where_the_class_is_defined(forward):
    with pytest.raises(TypeError, match="put hyperparameters into __init__"):
        type("Wrong", (Loss,), {"forward": forward})


def test_hyperparameters_are_shown():
    assert repr(SoftTarget(temperature=2.0)) == "SoftTarget(temperature=2.0)"
    assert repr(SoftTarget(chunk_size=8)) == "SoftTarget(temperature=4.0, chunk_size=8)"
    assert repr(HardLabel(smoothing=0.1)) == "HardLabel(smoothing=0.1)"


def test_what_was_made_under_inference_mode_is_copied_and_nothing_else_is():
    class Seen(Loss):
        def forward(self, student, teacher, labels, mask=None):
            seen.extend([student, *teacher, labels, mask])
            return student.sum()

    seen: list = []
    ordinary = torch.ones(2)
    with torch.inference_mode():
        made = torch.ones(2)
        Seen()(made, (made,), ordinary)
        assert seen[0] is made
    seen.clear()
    Seen()(ordinary, (made, ordinary), labels=made)
    assert [held is ordinary for held in seen] == [True, False, True, False, False]
    assert not any(held.is_inference() for held in seen[:-1])
