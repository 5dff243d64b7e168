"""A model card says the verdict first, whatever it is, and lets nobody's names into its Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tutelage.errors import UnknownName
from tutelage.runs.card import card
from tutelage.runs.licences import licences_of


def results(word: str = "not shown", **more: Any) -> dict[str, Any]:
    def entry(value: float) -> dict[str, Any]:
        times = {"1": {"p50": 0.05, "stable": True}}
        cost = {"parameters": 1210, "bytes": 5144, "latency_ms": times, "train_seconds": 61.0}
        return {"quality": {"accuracy": {"mean": value, "per_seed": [value] * 3}}, "cost": cost}

    verdict = {
        "word": word,
        "of": "student",
        "against": "control",
        "metric": "accuracy",
        "difference": 0.01,
        "interval": [-0.01, 0.03],
        "smallest_effect": 0.05,
        "seeds": 3,
        "examples": 539,
        "why": "the interval holds zero",
        "uncontrolled": ["labels: a tenth"],
        "credit": None,
    }
    return {
        "format": 2,
        "recipe": "vision/digits",
        "seeds": [0, 1, 2],
        "looks": 2,
        "primary": "student",
        "teacher": entry(0.97),
        "outcomes": {"control": entry(0.90), "student": entry(0.91)},
        "verdict": verdict,
        "sanity": ["the teacher is [below](x) the control"],
        "warnings": [],
    } | more


DETAILS = {
    "about": {
        "networks": {"teacher": "Net", "student": "MLP"},
        "task": "vision.classification",
        "data": "owner/set",
        "classes": 10,
    },
    "environment": {"machine": {"processor": "A Board"}, "data": {"test": {"examples": 539}}},
}
SAID = {"max_difference": 2e-6, "tolerance": 1e-4, "examples": 100, "same_first_choice": 0.99}


def written(held: dict[str, Any], **licences: str) -> tuple[dict[str, Any], str]:
    text = card(held, DETAILS, SAID, licences=licences, preparation={"kind": "image"})
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_is_not_shown_is_said_first() -> None:
    front, body = written(results(), data="cc0-1.0")
    lines = [line for line in body.splitlines() if line]
    assert lines[0] == "# vision/digits: student"
    assert lines[1].startswith("**Not shown to be better than its control.** The interval holds zero.")
    assert "it could have shown one of 5.00\u00a0pp" in lines[1]
    assert front["license"] == "unknown"
    assert front["pipeline_tag"] == "image-classification"
    assert front["datasets"] == ["owner/set"]
    (model,) = front["model-index"]
    assert model["results"][0]["metrics"] == [{"type": "accuracy", "name": "Accuracy", "value": 0.91}]
    assert "| Accuracy | 97.00\u00a0% | 90.00\u00a0% | 91.00\u00a0% |" in body
    assert "on 100 examples: its logits differ by\n2e-06 at most" in body
    assert "the same in 99\u00a0% of answers" in body
    assert "on A Board" in body
    for line in ("- Student: not stated", "- Data: cc0-1.0", "- Student: MLP, 1.21\u00a0k parameters"):
        assert line in body
    assert "looked at 2 times" in body
    assert "labels: a tenth" in body


def test_other_verdicts_and_none_at_all() -> None:
    _, body = written(results("worse"))
    assert "**Worse than its control.**" in body
    _, body = written(results(verdict={}))
    assert "**Nothing is shown about whether its teacher helped:**" in body


def test_names_are_no_markup() -> None:
    front, body = written(results(recipe="<script>|x|\n---\nlicense: mit"), student="mit\nx: y")
    assert "<script>" not in body
    assert "\\[below\\](x)" in body
    assert front["license"] == "mit x: y"
    assert "x" not in front


def test_licences_are_what_is_said_or_stated(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-4.0\n---\nA set.\n")
    recipe = {
        "task": {"vision.classification": {"data": str(tmp_path)}},
        "teacher": {"model": {"path": "x/y"}},
    }
    assert licences_of(recipe, {}) == {"data": "cc-by-4.0"}
    assert licences_of(recipe, {"data": "mit", "teacher": "mit"}) == {"data": "mit", "teacher": "mit"}
    (tmp_path / "README.md").write_text("---\n[: no\n---\n")
    assert licences_of(recipe, {}) == {}
    with pytest.raises(UnknownName, match="Nearest: 'student'"):
        licences_of(recipe, {"students": "mit"})
