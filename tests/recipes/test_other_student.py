"""An arm whose student is another network."""

from __future__ import annotations

import pytest

from tutelage.errors import RecipeError
from tutelage.studies import fresh_networks
from tutelage.studies.compared import differences


def test_an_arm_may_have_another_student(make, plain):
    other = {"model": {"mlp": {"widths": [6]}}}
    study = make(also={"wide": {"student": other, "stages": plain["stages"]}})
    widths = [fresh_networks(study.arms[arm], 0)["student"].head.in_features for arm in ("student", "wide")]
    assert widths == [4, 6]
    assert study.arms["wide"].built_by["student"] == {"mlp": {"widths": [6]}}
    said = differences(study, "wide", "control")
    assert "network: {'mlp': {'widths': [6]}} for the wide, {'mlp': {'widths': [4]}} for the control" in said
    assert not any(line.startswith("network:") for line in differences(study, "student", "control"))


def test_an_arm_like_another_has_its_network(make):
    with pytest.raises(RecipeError, match="has its network; leave `student` out"):
        make(also={"again": {"like": "student", "student": {"model": {"mlp": {"widths": [6]}}}}})
