"""What the page shows of lessons that were learnt one after another."""

from __future__ import annotations

from tutelage.report import render
from tutelage.report.lessons import lessons

TOLD = {
    "names": ["0, 1", "2, 3"],
    "given": True,
    "outcomes": {
        "control": {"accuracy": [[0.99, 0.6], [0.5, 0.97]]},
        "student": {
            "accuracy": [[0.99, 0.985], [0.5, 0.96]],
            "forgetting": {
                "against": "control",
                "difference": -0.385,
                "interval": [-0.4, -0.37],
                "level": 0.95,
            },
        },
    },
}


def test_a_row_for_each_lesson_and_a_column_for_each_stage(results, read):
    parsed = read(render(results | {"lessons": TOLD}, {}))
    assert "Lesson by lesson" in parsed.text
    for said in ("99.00 %", "60.00 %", "98.50 %", "the lesson is given"):
        assert said in parsed.text
    assert "Forgetting −38.50 pp against control, 95 % interval −40.00 pp to −37.00 pp" in parsed.text


def test_what_is_not_learnt_yet_is_told_apart():
    shown = lessons({"lessons": TOLD})["lessons"][0]
    assert [learnt for _, cells in shown["rows"] for _, learnt in cells] == [True, True, False, True]
    assert shown["less"] == ""


def test_one_seed_has_no_interval():
    held = {"against": "control", "difference": -0.1, "interval": None, "level": 0.95}
    told = TOLD | {"outcomes": {"student": {"accuracy": [], "forgetting": held}}}
    assert lessons({"lessons": told})["lessons"][0]["less"].endswith("against control, on one seed.")


def test_other_runs_have_no_such_section(results, read):
    assert "Lesson by lesson" not in read(render(results, {})).text
