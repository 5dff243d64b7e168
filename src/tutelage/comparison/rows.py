"""A comparison as text: what the page's tables, the terminal's and the CSV share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.report import numbers, verdicts
from tutelage.report.numbers import DASH, mapping, mean, number, sequence

__all__ = [
    "CHARGE",
    "colours",
    "cost_lines",
    "headline",
    "latency_of",
    "named",
    "network_rows",
    "pair_lines",
    "values_of",
]

CHARGE = (
    "Break-even charge: the share of the teacher's cost at which training the student costs what training "
    "its control does; none where it takes longer even with a teacher that costs nothing. The teacher's "
    "share is its training and what it answered beforehand; what it answers while the student trains is in "
    "the student's own seconds, and tutelage.label asks it once for all students."
)


def headline(results: Mapping[str, Any]) -> str:
    """What came of the comparison with the reference, in a line.

    Args:
        results: of a comparison.
    """
    across = [each for each in results["comparisons"] if each["of"]["run"] != each["against"]["run"]]
    reference = results["reference"]
    if not across:
        own = [said for each in results["comparisons"] if (said := verdicts.said(mapping(each["verdict"])))]
        return f"{reference}: {own[0]['headline']}" if own else f"{reference}, and nothing to hold it against"
    found: dict[str, list[str]] = {"better": [], "worse": []}
    for each in across:
        word = str(mapping(each["verdict"]).get("word") or "")
        found.get(word, []).append(each["of"]["run"])
    better, worse = (_list(found[word]) for word in ("better", "worse"))
    if better:
        return f"{better} {'is' if len(found['better']) == 1 else 'are'} better than {reference}"
    none = "Not shown to be better" if len(across) == 1 else "None is shown to be better"
    return f"{reference} is better than {worse}" if worse else f"{none} than {reference}"


def pair_lines(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each comparison as text: names, verdict, seeds, flips; and whether it is of one run.

    Args:
        results: of a comparison.
    """
    found = []
    for each in results["comparisons"]:
        of, against = each["of"], each["against"]
        inside = of["run"] == against["run"]
        flipped = mapping(each.get("flips"))
        found.append(
            {
                "of": of["run"],
                "against": f"its {against['outcome']}" if inside else against["run"],
                "inside": inside,
                "obstacle": each["obstacle"] or "",
                "said": verdicts.said(mapping(each["verdict"])),
                "verdict": mapping(each["verdict"]),
                "seeds": ", ".join(map(str, each["seeds"])),
                "seeds_of_one": ", ".join(map(str, each["seeds_of_one"])),
                "flips": flipped,
                "flip_text": f"+{len(flipped['right'])} \u2212{len(flipped['wrong'])}" if flipped else DASH,
            }
        )
    return found


def network_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each network as text: whose it is, its settings, quality, size, latency, training time.

    Args:
        results: of a comparison.
    """
    metric = results["metric"]
    found = []
    for row in results["rows"]:
        cost = mapping(row["cost"])
        held = mapping(mapping(row["quality"]).get(metric))
        own = row["role"] == "primary"
        lost = len(row["failed_seeds"])
        found.append(
            {
                "name": named(row, results),
                "network": row["name"],
                "of": of_whom(row, results),
                "role": row["role"],
                "settings": values_of(row, results) if own else [""] * len(results["settings"]),
                "seeds": _seeds(row["seeds"], lost) if row["role"] != "teacher" else "",
                "quality": numbers.measure(metric, mean(held)),
                "spread": numbers.spread(metric, held),
                "parameters": numbers.amount(cost.get("parameters")),
                "bytes": numbers.size(cost.get("bytes")),
                "latency": _latency(cost),
                "unstable": latency_of(cost)[1].get("stable") is False,
                "training": numbers.duration(cost.get("train_seconds")),
                "steps": DASH if number(row["steps"]) is None else f"{row['steps']:,}",
                "machine": str(row.get("machine") or ""),
            }
        )
    return found


def cost_lines(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """What each run's training cost, as text.

    Args:
        results: of a comparison.
    """
    return [
        {
            "run": each["run"],
            **{name: numbers.duration(each[name]) for name in ("own", "teacher", "whole", "control")},
            "break_even": _break_even(number(each["break_even_charge"])),
        }
        for each in results["costs"]
    ]


def named(row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """A network's name: its run's where the run is about it, else its own and whose it is."""
    if row["role"] == "primary":
        return str(row["runs"][0])
    whose = of_whom(row, results)
    return f"{row['name']} of {whose}" if whose else str(row["name"])


def of_whom(row: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Whose network it is; empty where it is that of all runs, or of none."""
    runs = row["runs"]
    if row["role"] in ("measure", "primary") or len(runs) == len(results["runs"]):
        return ""
    return _list(runs)


def values_of(row: Mapping[str, Any], results: Mapping[str, Any]) -> list[str]:
    """The settings that differ, as the run of a row has them."""
    held = results["runs"][row["runs"][0]]["settings"]
    return [_value(held[each["path"]]) for each in results["settings"]]


def latency_of(cost: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The batch size whose latency is shown, 1 if it was timed, and that latency."""
    timed = mapping(cost.get("latency_ms"))
    size = "1" if "1" in timed or not timed else str(next(iter(timed)))
    return size, mapping(timed.get(size))


def colours(results: Mapping[str, Any]) -> list[str]:
    """The colour of each row: teachers', controls', the reference's, then three more in turn."""
    found, more = [], 0
    for row in results["rows"]:
        fixed = {"teacher": "teacher", "against": "against", "other": "against"}.get(row["role"], "")
        if not fixed and row["role"] == "primary" and row["runs"][0] == results["reference"]:
            fixed = "primary"
        if not fixed:
            fixed, more = f"also-{more % 3 + 1}", more + 1
        found.append(fixed)
    return found


def _latency(cost: Mapping[str, Any]) -> str:
    _, time = latency_of(cost)
    if number(time.get("p50")) is None:
        return DASH
    return f"{numbers.measure('latency', time['p50'])}{numbers.GAP}ms"


def _break_even(charge: float | None) -> str:
    if charge is None:
        return DASH
    return numbers.percent(charge) if charge > 0 else "none"


def _seeds(count: Any, lost: int) -> str:
    if count is None:
        return ""
    return f"{count - lost} of {count}" if lost else str(count)


def _value(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, list):
        return ", ".join(map(_value, sequence(value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(names: Any) -> str:
    held = [str(name) for name in names]
    return held[0] if len(held) == 1 else f"{', '.join(held[:-1])} and {held[-1]}" if held else ""
