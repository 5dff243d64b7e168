"""What a page makes of hostile names, and of everything that may be missing."""

from __future__ import annotations

import pytest

from tutelage.report import render
from tutelage.report.svg import clean
from tutelage.report.trade_off import trade_off

pytestmark = pytest.mark.slow

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$x_$",
    "\\frac{$",
    "a_b_{c",
    "日本",
    "\x00\x1b[31m",
]
SECTIONS = {"learning", "fidelity", "reliability", "trade", "confusion", "expected"}


def test_names_are_escaped_wherever_they_appear(results, details, read):
    name = HOSTILE[0]
    results |= {"recipe": name, "out": name, "warnings": HOSTILE}
    results["outcomes"] |= dict.fromkeys(HOSTILE, results["outcomes"]["student"] | {"failed_seeds": HOSTILE})
    results |= {"sanity": HOSTILE, "differences": HOSTILE}
    results["verdicts"] += [results["verdict"] | {"of": each, "against": each} for each in HOSTILE]
    results["verdict"] |= {"why": name, "uncontrolled": HOSTILE, "advice": HOSTILE}
    results["expected"] = {each: {"paper": 1, "source": each} for each in HOSTILE}
    results["outcomes"]["student"]["quality"] |= {each: {"mean": 0.5, "per_seed": [0.5]} for each in HOSTILE}
    results["fidelity"][name] = 0.5
    details |= {"class_names": [*HOSTILE, *HOSTILE][:10], "recipe_yaml": name, "calibration_curves": None}
    details["environment"] |= {each: {each: each} for each in HOSTILE}
    for point in details["curves"]["student"][0]["points"]:
        point["terms"] |= dict.fromkeys(HOSTILE, 0.5)
    parsed = read(render(results, details))
    assert not parsed.all("script")
    assert not parsed.all("img")
    assert not [1 for _, attributes in parsed.elements if any(key.startswith("on") for key in attributes)]
    assert all(each in parsed.text for each in HOSTILE if each.isprintable())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_primary_outcome_may_have_any_name(sample, name, read):
    found = sample.peers()
    renamed = {"peer0": name, "peer0 alone": f"{name} alone"}
    found["outcomes"] = {renamed.get(key, key): entry for key, entry in found["outcomes"].items()}
    found["outcomes"][name]["against"] = f"{name} alone"
    found["verdict"] |= {"of": name, "against": f"{name} alone"}
    found |= {"primary": name, "verdicts": [found["verdict"], found["verdicts"][1]]}
    told = sample.details_of(found)
    parsed = read(render(found, {"curves": told["curves"], "calibration_curves": told["calibration_curves"]}))
    assert not parsed.all("script")
    assert not parsed.all("img")
    assert "99.05" in parsed.text
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not any(" " in (each or "") for each in ids)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_metric_and_arm_are_drawn_as_they_are(results, name, read):
    arm = results["outcomes"]["student"] | {"quality": {name: 0.5}}
    chart = trade_off({"teacher": arm, name: arm}, name, "1", {"teacher": "teacher", name: "also-1"})
    assert chart is not None
    assert "script" not in {attributes for attributes, _ in read(chart).elements}
    assert clean(name, 16) in read(chart).text


def test_a_name_that_looks_like_a_colour_or_an_id_is_left_alone(details, results, read):
    details["class_names"] = ["#010116", 'id="x"', "url(#m1)", *details["class_names"][3:]]
    text = read(render(results, {name: details[name] for name in ("confusion", "class_names")})).text
    assert all(text.count(name) >= 2 for name in details["class_names"][:3])


def test_one_seed_and_no_control_leave_sections_out(sample, read):
    parsed = read(render(sample.minimal(), {}))
    assert "Not shown to be better" in parsed.text
    assert "No control was run." in parsed.text
    assert "90.00" in parsed.text
    assert "interval" not in parsed.text
    assert not parsed.all("svg")
    assert not [1 for _, attributes in parsed.elements if attributes.get("id") in SECTIONS]


@pytest.mark.parametrize(
    "part",
    [
        "primary",
        "teacher",
        "outcomes",
        "verdict",
        "verdicts",
        "control",
        "student",
        "fidelity",
        "gap_closed",
        "sanity",
        "warnings",
        "expected",
        "differences",
        "looks",
        "seeds",
    ],
)
@pytest.mark.parametrize("how", ["null", "absent"])
def test_any_missing_result_is_left_out(results, part, how, read):
    results["outcomes"]["student"]["cost"]["latency_ms"] = None
    results[part] = None
    if how == "absent":
        del results[part]
    text = read(render(results, {})).text
    assert "None" not in text
    assert "nan" not in text.split()


@pytest.mark.parametrize("name", ["control", "student"])
@pytest.mark.parametrize("part", ["arm", "network", "against", "failed_seeds", "steps", "quality", "cost"])
def test_an_outcome_that_says_less_is_still_shown(results, name, part, read):
    del results["outcomes"][name][part]
    parsed = read(render(results, {"curves": {name: [{"seed": 0, "points": []}]}}))
    assert "Better than its control" in parsed.text
    assert "None" not in parsed.text


@pytest.mark.parametrize(
    "part",
    ["of", "against", "metric", "difference", "interval", "level", "seeds", "examples", "why", "advice"],
)
@pytest.mark.parametrize("how", ["null", "absent"])
def test_a_verdict_that_says_less_is_still_shown(results, part, how, read):
    results["verdict"][part] = None
    if how == "absent":
        del results["verdict"][part]
    parsed = read(render(results, {}))
    assert "Better" in parsed.text
    assert "None" not in parsed.text


@pytest.mark.parametrize("arm", ["teacher", "control", "student"])
@pytest.mark.parametrize("part", ["quality", "calibration", "cost"])
def test_any_missing_measurement_is_a_dash(results, arm, part, read):
    entry = results["teacher"] if arm == "teacher" else results["outcomes"][arm]
    entry[part] = None if part != "cost" else dict.fromkeys(entry["cost"])
    text = read(render(results, {})).text
    assert "—" in text
    assert "None" not in text


def test_numbers_that_are_not_numbers_are_dashes(results, read):
    results["outcomes"]["student"]["quality"]["accuracy"] = {
        "mean": float("nan"),
        "per_seed": [float("nan")] * 3,
    }
    results["verdict"] |= {
        "difference": float("inf"),
        "interval": [None, None],
        "share_of_seeds": float("nan"),
    }
    results["verdict"] |= {"smallest_effect": float("inf"), "p_value": float("nan"), "seeds": float("nan")}
    assert not {"nan", "inf", "+inf"} & set(read(render(results, {})).text.split())


@pytest.mark.parametrize(
    "details",
    [
        {"curves": {}, "calibration_curves": {}, "fidelity_bins": [], "confusion": [], "class_names": []},
        {
            "curves": {"student": [{"seed": 0, "points": []}]},
            "confusion": [[0, 0], [0, 0]],
            "class_names": None,
        },
        {
            "curves": {
                "student": [{"seed": 0, "points": [{"step": 1, "epoch": 1, "loss": None}]}],
                "control": None,
            }
        },
        {
            "fidelity_bins": [{"low": 0, "high": 1, "count": 0, "agreement": None, "kl": None}],
            "confusion": None,
        },
        {
            "calibration_curves": {"teacher": None, "student": [{"low": 0, "high": 1, "count": 0}]},
            "recipe_yaml": None,
        },
        {"environment": {"versions": None, "seeds": [0]}, "confusion": [[1, 2], [3]]},
    ],
)
def test_details_with_nothing_in_them_are_left_out(results, details, read):
    assert "None" not in read(render(results, details)).text
