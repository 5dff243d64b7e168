"""Means of learning curves: no step where a seed comes, goes, or was measured at another time."""

from __future__ import annotations

import pytest

from tutelage.report.charts import curves
from tutelage.report.lines import joined_means, stages_of
from tutelage.report.looks import looks


def run(values, *, stage=0) -> dict:
    points = [{"step": step, "stage": stage, "validation": {"accuracy": value}} for step, value in values]
    return {"seed": 0, "points": points}


def accuracy(point):
    return point.get("validation", {}).get("accuracy")


def test_a_mean_goes_as_far_as_all_seeds_go():
    long, short = {0: [(1, 0.2), (2, 0.4), (3, 0.9)]}, {0: [(1, 0.4), (2, 0.6)]}
    (line,) = joined_means([long, short])
    assert [step for step, _ in line] == [1, 2]
    assert [value for _, value in line] == pytest.approx([0.3, 0.5])


def test_seeds_measured_at_other_steps_are_read_between_their_points():
    (line,) = joined_means([{0: [(0, 0.0), (4, 0.4)]}, {0: [(0, 1.0), (2, 1.2), (4, 1.4)]}])
    assert [value for _, value in line] == pytest.approx([0.5, 0.7, 0.9])


def test_each_stage_has_a_line_of_its_own():
    both = {"points": [*run([(1, 0.1), (2, 0.9)])["points"], *run([(3, 0.2)], stage=1)["points"]]}
    assert stages_of(both, accuracy) == {0: [(1, 0.1), (2, 0.9)], 1: [(3, 0.2)]}
    assert len(joined_means([stages_of(both, accuracy)])) == 2


def test_seeds_that_never_meet_have_no_mean():
    assert joined_means([{0: [(1, 0.1)]}, {0: [(2, 0.2)]}]) == []
    assert joined_means([]) == []


@pytest.mark.slow
def test_the_teacher_has_a_line(sample, results, details):
    chart = looks(results, {"curves": details["curves"]})["curves"]
    assert "teacher (test set)" in chart
    chart = looks(results, {"curves": details["curves"], "teacher_validation": {"accuracy": 0.99}})["curves"]
    assert ">teacher<" in chart
    assert "teacher" not in looks(sample.alone(), {"curves": details["curves"]})["curves"]


def test_all_charts_have_one_scale():
    chart = curves({"student": [run([(1, 0.5), (2, 0.6)])]}, "accuracy", {"student": "primary"})
    assert 'style="--wide: 342px"' in chart
