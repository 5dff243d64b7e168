"""Twenty steps on a task's own batches are what they were.

They are written by `python tests/golden/tasks/steps.py`. Inputs are made in float32, and computed with in
float64: hence 1e-6.
"""

from __future__ import annotations

import pytest
import steps


@pytest.mark.parametrize("name", steps.FACTORIES)
def test_the_trajectory_is_the_golden_one(name):
    held, now = steps.held(name), steps.FACTORIES[name]()
    assert len(held["terms"]) == steps.STEPS
    for ours, theirs in zip(now["terms"], held["terms"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)
    assert now["weights"] == pytest.approx(held["weights"], rel=1e-6)


def test_every_file_has_its_trajectory():
    assert {path.stem for path in steps.FOLDER.glob("*.json")} == set(steps.FACTORIES)
