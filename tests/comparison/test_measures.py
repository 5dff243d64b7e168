"""Artefacts that were measured elsewhere."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tutelage.comparison import compare
from tutelage.comparison.pareto import axis_of, spots_of
from tutelage.errors import CheckpointError, OutputError, RecipeError

GIVEN = {
    "name": "int8, telephone",
    "kind": "measure",
    "quality": {"accuracy": 0.89},
    "cost": {"bytes": 120, "latency_ms": {"1": 0.31}},
    "machine": "a telephone",
}


def written(folder, **changes):
    path = folder / "measure.json"
    path.write_text(json.dumps(GIVEN | changes))
    return path


def test_a_measure_stands_beside_the_runs(two, tmp_path):
    found = compare([*two, written(tmp_path)])
    (row,) = [each for each in found.results["rows"] if each["role"] == "measure"]
    assert (row["name"], row["machine"]) == ("int8, telephone", "a telephone")
    assert row["quality"]["accuracy"] == {"mean": 0.89, "per_seed": [0.89]}
    assert row["cost"] == {"bytes": 120.0, "latency_ms": {"1": {"p50": 0.31}}}
    axis = axis_of(found.results)
    assert axis is not None
    assert axis.name == "weights"
    assert "int8, telephone" in [spot.text for spot in spots_of(found.results, axis)]
    assert not any("int8" in each["of"]["run"] for each in found.results["comparisons"])


def test_further_outcomes_stand_on_the_plot_as_such(two, tmp_path):
    results = compare([*two, written(tmp_path)]).results
    axis = axis_of(results)
    rows = [{**row, "role": "other"} if row["role"] == "measure" else row for row in results["rows"]]
    (spot,) = [each for each in spots_of({**results, "rows": rows}, axis) if "int8" in each.text]
    assert (spot.student, spot.other) == (False, True)
    assert not any(each.other for each in spots_of(results, axis))


def test_quality_may_be_left_out_or_of_several_measurements(two, tmp_path):
    compare([*two, written(tmp_path, quality={})])
    several = {"accuracy": {"mean": 0.8, "per_seed": [0.79, 0.81]}}
    rows = compare([*two, written(tmp_path, quality=several)]).results["rows"]
    assert rows[2]["quality"] == several


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "run"}, "kind"),
        ({"cost": {"byte": 3}}, "cost.byte"),
        ({"colour": "red"}, "colour"),
        ({"name": ""}, "name"),
        ({"quality": {"nll": 0.3}}, "judged by 'accuracy'"),
    ],
)
def test_what_is_no_measure_is_refused_in_words(two, tmp_path, changes, said):
    with pytest.raises(RecipeError, match=re.escape(said)):
        compare([*two, written(tmp_path, **changes)])


def test_files_that_are_missing_or_cut_short_are_said(two, tmp_path):
    with pytest.raises(OutputError, match="there is no file"):
        compare([*two, tmp_path / "none.json"])
    path = written(tmp_path)
    path.write_text("{")
    with pytest.raises(CheckpointError, match=r"measure\.json"):
        compare([*two, path])
    path.write_text("[]")
    with pytest.raises(RecipeError, match="is no measure"):
        compare([*two, path])


def test_measures_alone_are_refused(tmp_path):
    path = written(tmp_path)
    other = shutil.copy(path, tmp_path / "other.json")
    with pytest.raises(RecipeError, match="only measures came"):
        compare([path, other])
