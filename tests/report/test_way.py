"""The way of a student: a row a stage, a picture, and what was named on the way."""

from __future__ import annotations

from tutelage.report.way import way

STOP = {
    "name": "1 train (offline)",
    "quality": {"accuracy": {"mean": 0.95, "per_seed": [0.94, 0.96]}},
    "cost": {
        "parameters": 2778,
        "bytes": 11584,
        "flops": 5440,
        "latency_ms": {"1": {"p50": 0.12, "p95": 0.2}},
    },
    "difference": None,
    "interval": None,
}
LATER = STOP | {
    "name": "2 <prune>",
    "cost": STOP["cost"] | {"bytes": 5528},
    "difference": -0.02,
    "interval": [-0.03, -0.01],
    "slower": {"1": 1.4},
    "metric": {"before": 0.95, "after": 0.93},
}


def told(*stops):
    return way({"verdict": {"metric": "accuracy"}, "way": list(stops)})


def test_each_stop_has_its_arrow():
    first, second = told(STOP, LATER)["way"]
    assert (first["difference"], first["interval"]) == ("—", "")
    assert second["difference"].replace("\u00a0", " ") == "−2.00 pp"
    assert second["interval"].count("pp") == 2
    assert second["latency"]["1"][0].startswith("0.12")


def test_what_made_it_slower_or_was_undone_is_named():
    notes = told(STOP, LATER)["way_notes"]
    assert any("slower: 1.4 times at batch 1" in each for each in notes)
    (undone,) = told(STOP, LATER | {"undone": "it lost too much"})["way_notes"]
    assert "was undone: it lost too much" in undone


def test_a_picture_needs_two_stops_and_escapes_names():
    assert told(STOP)["way_charts"] == []
    charts = told(STOP, LATER)["way_charts"]
    assert len(charts) == 2
    assert not any("<prune>" in each for each in charts)
    assert told()["way"] == []
