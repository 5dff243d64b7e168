from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tutelage as tl
from tutelage.comparison import compare
from tutelage.comparison.costs import break_even_charge
from tutelage.errors import CheckpointError, OutputError, RecipeError, UnknownName


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pair(found, of: str, against: str):
    return next(
        each
        for each in found.results["comparisons"]
        if (each["of"]["run"], each["against"]["run"]) == (of, against)
    )


def test_the_better_run_is_found_over_seeds_and_examples(two):
    found = tl.compare(two)
    assert repr(found) == "Compared(t8 is better than t2)"
    held = pair(found, "t8", "t2")
    verdict = held["verdict"]
    assert (verdict["word"], verdict["seeds"], verdict["examples"]) == ("better", 3, 200)
    values = [
        next(row for row in found.results["rows"] if row["runs"] == [name] and row["role"] == "primary")
        for name in ("t2", "t8")
    ]
    means = [row["quality"]["accuracy"]["mean"] for row in values]
    assert verdict["difference"] == pytest.approx(means[1] - means[0])
    low, high = verdict["interval"]
    assert low < verdict["difference"] < high
    assert len(held["flips"]["right"]) > len(held["flips"]["wrong"])
    assert all(1000 <= one < 1200 for one in held["flips"]["right"])


def test_the_verdict_is_that_of_the_run_itself(two):
    """Held against its own control alone, a run gets the interval that evaluation gives."""
    from tutelage.evaluation import judge
    from tutelage.runs.scores import read_scores

    found = compare(two)
    held = next(each for each in found.results["comparisons"] if each["against"]["outcome"] == "control")
    control, student = (read_scores(two[0], name).values for name in ("control", "student"))
    said = judge(
        "accuracy",
        control.mean(1).tolist(),
        student.mean(1).tolist(),
        examples=(control, student),
        level=held["verdict"]["level"],
    )
    assert held["verdict"]["interval"] == pytest.approx(said.interval)
    assert held["verdict"]["p_value"] == pytest.approx(said.p_value)


def test_only_settings_that_differ_are_kept(two):
    found = compare(two).results
    assert found["settings"] == [{"path": "temperature", "label": "temperature"}]
    assert [found["runs"][name]["settings"] for name in ("t2", "t8")] == [
        {"temperature": 2},
        {"temperature": 8},
    ]


def test_runs_of_one_recipe_are_put_together_over_their_seeds(a_run, tmp_path):
    folders = [a_run(tmp_path / f"s{seed}", seeds=[seed]) for seed in range(3)]
    found = compare(folders).results
    assert list(found["runs"]) == ["s0"]
    assert found["runs"]["s0"]["seeds"] == [0, 1, 2]
    assert len(found["runs"]["s0"]["folders"]) == 3
    (only,) = found["comparisons"]
    assert (only["against"]["outcome"], only["verdict"]["seeds"]) == ("control", 3)
    whole = compare([a_run(tmp_path / "all"), a_run(tmp_path / "other", 0.5, name="vision/other")]).results
    own = next(each for each in whole["comparisons"] if each["of"]["run"] == each["against"]["run"] == "all")
    assert only["verdict"]["difference"] == pytest.approx(own["verdict"]["difference"])
    assert found["warnings"] == []


def test_a_seed_that_came_twice_counts_once(a_run, tmp_path):
    found = compare([a_run(tmp_path / "a", seeds=[0, 1]), a_run(tmp_path / "b", seeds=[1, 2])]).results
    assert found["runs"]["a"]["seeds"] == [0, 1, 2]
    assert any("seed 1 is in more than one" in said for said in found["warnings"])
    assert found["comparisons"][0]["verdict"]["seeds"] == 3


def test_runs_without_scores_are_compared_over_seeds_alone(a_run, tmp_path, two):
    old = a_run(tmp_path / "old", 0.8, scores=False, recipe={"temperature": 1})
    found = compare([*two, old])
    verdict = pair(found, "old", "t2")["verdict"]
    assert verdict["examples"] is None
    assert verdict["seeds"] == 3
    assert pair(found, "old", "t2")["flips"] is None
    assert any("old: the run kept no scores" in said for said in found.results["warnings"])
    assert "\n  Warning: old: the run kept no scores" in repr(found)
    assert pair(found, "t8", "t2")["verdict"]["examples"] == 200


def test_runs_of_the_first_format_are_read(a_run, tmp_path, two):
    folder = a_run(tmp_path / "older", 0.8, scores=False, recipe={"temperature": 1})
    held = json.loads((folder / "results.json").read_text())
    outcomes = held.pop("outcomes")
    for key in ("format", "looks", "primary", "verdicts", "sanity"):
        held.pop(key)
    (folder / "results.json").write_text(json.dumps(held | outcomes))
    found = compare([*two, folder])
    assert pair(found, "older", "t2")["verdict"]["seeds"] == 3
    assert any(
        each["of"]["run"] == each["against"]["run"] == "older" for each in found.results["comparisons"]
    )


def test_a_seed_that_broke_off_counts_as_a_guess(a_run, tmp_path, two):
    folder = a_run(tmp_path / "lost", 0.9, chance=0.1, recipe={"temperature": 1})
    held = json.loads((folder / "results.json").read_text())
    student = held["outcomes"]["student"]
    student["failed_seeds"] = [1]
    values = student["quality"]["accuracy"]["per_seed"]
    student["quality"]["accuracy"]["per_seed"] = [values[0], values[2]]
    (folder / "results.json").write_text(json.dumps(held))
    from dataclasses import replace

    from tutelage.runs.scores import read_scores, write_scores

    scores = read_scores(folder, "student")
    write_scores(folder, "student", replace(scores, values=scores.values[[0, 2]], seeds=scores.seeds[[0, 2]]))
    found = compare([*two, folder])
    base = next(row for row in found.results["rows"] if row["runs"] == ["t2"] and row["role"] == "primary")
    theirs = base["quality"]["accuracy"]["per_seed"]
    expected = (values[0] + 0.1 + values[2]) / 3 - sum(theirs) / 3
    assert pair(found, "lost", "t2")["verdict"]["difference"] == pytest.approx(expected)
    assert any("seed 1 of the student broke off" in said for said in found.results["warnings"])


def test_what_is_not_equal_is_said(a_run, tmp_path, two):
    other = a_run(tmp_path / "other", 0.8, steps=90, recipe={"temperature": 1})
    held = json.loads((other / "environment.json").read_text())
    held["machine"] = {"processor": "another CPU", "threads": 2}
    held["data"]["train"] = {"examples": 500, "sha256": "b"}
    (other / "environment.json").write_text(json.dumps(held))
    found = compare([*two, other])
    text = " ".join(found.results["warnings"])
    assert "training data: 500 examples of other, 900 examples of t2" in text
    assert "number of steps: 90 of other, 60 of t2" in text
    assert "machine: another CPU, 2 threads of other, a CPU, 1 thread of t2" in text
    assert len(pair(found, "other", "t2")["verdict"]["uncontrolled"]) == 3


def test_other_test_sets_and_other_seeds_are_not_compared(a_run, tmp_path, two):
    elsewhere = a_run(tmp_path / "elsewhere", test="u", recipe={"temperature": 1})
    later = a_run(tmp_path / "later", seeds=[7, 8, 9], recipe={"temperature": 4})
    found = compare([*two, elsewhere, later])
    assert pair(found, "elsewhere", "t2")["verdict"] is None
    assert "measured on other examples" in pair(found, "elsewhere", "t2")["obstacle"]
    assert "no seed in common" in pair(found, "later", "t2")["obstacle"]
    assert any(
        "test set: 200 examples each, and not the same ones" in each for each in found.results["warnings"]
    )


def test_controls_that_are_the_same_stand_once(two):
    rows = compare(two).results["rows"]
    assert [row["runs"] for row in rows if row["role"] == "against"] == [["t2", "t8"]]
    assert [row["runs"] for row in rows if row["role"] == "teacher"] == [["t2", "t8"]]


def test_a_run_without_a_control_is_warned_of(a_run, tmp_path, two):
    found = compare([*two, a_run(tmp_path / "alone", control=None, recipe={"temperature": 1})])
    assert any("alone has no control" in said for said in found.results["warnings"])


def test_training_cost_with_the_teachers_share(two):
    one, other = compare(two).results["costs"]
    assert {key: one[key] for key in ("own", "teacher", "whole", "control")} == {
        "own": 8.0,
        "teacher": 20.0,
        "whole": 28.0,
        "control": 10.0,
    }
    assert one["break_even_charge"] == pytest.approx(0.1)
    assert other["break_even_charge"] == pytest.approx(-0.1)
    assert break_even_charge(8.0, None, 10.0) is None
    assert break_even_charge(8.0, 0.0, 10.0) is None


def test_names_and_the_reference_may_be_chosen(two):
    found = compare({"cold": two[0], "hot": [two[1]]}, against="hot")
    assert list(found.results["runs"]) == ["cold", "hot"]
    assert found.results["reference"] == "hot"
    assert repr(found) == "Compared(hot is better than cold)"
    assert compare(two, against=str(two[1])).results["reference"] == "t8"
    with pytest.raises(UnknownName, match="t9"):
        compare(two, against="t9")


def test_folders_of_one_name_get_more_of_their_path(a_run, tmp_path):
    one = a_run(tmp_path / "a" / "run", recipe={"temperature": 1})
    other = a_run(tmp_path / "b" / "run", recipe={"temperature": 2})
    assert list(compare([one, other]).results["runs"]) == ["a/run", "b/run"]


def test_a_run_that_came_as_an_object_is_read_from_its_folder(two):
    class Done:
        out = two[1]

    assert list(compare([two[0], Done()]).results["runs"]) == ["t2", "t8"]


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (lambda folder: (folder / "results.json").unlink(), OutputError, "its run is not finished"),
        (lambda folder: (folder / "run.json").unlink(), OutputError, "holds no run"),
        (lambda folder: (folder / "results.json").write_text("{"), CheckpointError, "truncated"),
        (lambda folder: edit(folder / "results.json", format=9), OutputError, "format 9"),
        (
            lambda folder: (folder / "scores" / "student.safetensors").write_bytes(b"x"),
            CheckpointError,
            "compared over seeds alone",
        ),
        (
            lambda folder: edit(folder / "run.json", recipe={"task": {"tabular.classification": {}}}),
            RecipeError,
            "tabular.classification",
        ),
        (
            lambda folder: edit(folder / "results.json", verdict={"metric": "nll"}),
            RecipeError,
            "judged by 'nll'",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(two, spoil, error, said):
    spoil(two[1])
    with pytest.raises(error, match=re.escape(said)) as came:
        compare(two)
    assert "t8" in str(came.value) or error is OutputError


def test_too_little_to_compare_is_refused(two, tmp_path):
    with pytest.raises(RecipeError, match="two or more folders"):
        compare(two[:1])
    with pytest.raises(RecipeError, match="two or more folders"):
        compare(str(two[0]))
    with pytest.raises(RecipeError, match="came twice"):
        compare([two[0], two[0]])
    with pytest.raises(OutputError, match="there is no folder"):
        compare([two[0], tmp_path / "none"])
    with pytest.raises(RecipeError, match="nothing to compare"):
        compare([])
    with pytest.raises(ValueError, match="confidence level"):
        compare(two, level=95)
