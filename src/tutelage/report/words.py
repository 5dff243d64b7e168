"""What the words on a page mean, for those who read their first one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.report import numbers, roles, verdicts
from tutelage.report.numbers import mapping, sequence

__all__ = ["words"]

_SEED = (
    "Trainings differ by luck: by the first weights and by the order of examples. A seed fixes both. Each "
    "network was trained once for each seed, with the same luck for those that are compared."
)
_INTERVAL = (
    "Where the true difference lies, with the confidence that is named, if other seeds and other test "
    "examples had been drawn. One that holds zero shows no difference."
)
_NOT_SHOWN = "There may be an effect, and this run was too small to show it."
_POINTS = "Percentage points: from 90 % to 92 % is +2 pp."
_MEASURED = {
    "ece": "Calibration error: how far the confidence of the answers is from the share that is right. "
    "0 is perfect.",
    "nll": "Log loss: how surprised the network is by the right answers; lower is better.",
    "brier": "Brier score: the squared distance between the probabilities and the right answer; lower is "
    "better.",
}


def words(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Terms and their meaning, of those that the page of these results uses.

    Args:
        results: what a run measured, of format 2.
    """
    return [*_roles(results), *_figures(results), *_measures(results)]


def _roles(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = roles.entries(results)
    if roles.TEACHER in found:
        yield "teacher", "The network, or networks, whose answers the student learned from."
    if against := roles.against(results):
        yield (
            against,
            f"What {roles.the(roles.primary(results))} is held against. A control is the same network "
            "trained for the same steps without what a teacher says.",
        )
    if "placebo" in found:
        yield (
            "placebo",
            "The same training by a teacher that only repeats the labels. Who is better than it has learned "
            "something from the teacher, and not from the recipe alone.",
        )


def _figures(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    verdict = mapping(results.get("verdict"))
    if len(sequence(results.get("seeds"))) > 1:
        yield "seed", _SEED
    if verdicts.interval(verdict):
        yield "interval", _INTERVAL
    if verdict.get("word") == "not shown":
        yield "not shown", _NOT_SHOWN
    if numbers.difference(str(verdict.get("metric") or ""), verdict.get("difference")).endswith("pp"):
        yield "pp", _POINTS


def _measures(results: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    entries = roles.entries(results).values()
    measured = {name for entry in entries for name in mapping(entry.get("calibration"))}
    yield from (
        (name.upper() if len(name) == 3 else name.capitalize(), said)
        for name, said in _MEASURED.items()
        if name in measured
    )
    costs = [mapping(entry.get("cost")) for entry in entries]
    if any(cost.get("flops") for cost in costs):
        yield "FLOPs", "Multiplications and additions that one example takes."
    if any(cost.get("latency_ms") for cost in costs):
        yield "p95", "The slow end of the measured times: 95 of 100 answers came faster."
    if mapping(results.get("fidelity")):
        yield "fidelity", "How closely the student answers as its teacher does, right or wrong."
        yield "KL divergence", "How far the student's probabilities are from the teacher's. 0 is the same."
