"""A comparison as comma-separated values: a line for each network of each run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.comparison.rows import latency_of
from tutelage.report.numbers import mapping, mean, sequence

__all__ = ["sheet"]

_COSTS = ("parameters", "bytes", "flops", "peak_memory_bytes", "energy_joules")
_TRAINING = ("train_seconds", "train_seconds_of_teacher")


def sheet(results: Mapping[str, Any]) -> str:
    """The networks with their settings, qualities and costs, then what the run is to the reference.

    Numbers are not rounded; seconds, bytes and milliseconds. A name that a spreadsheet would take for a
    formula gets an apostrophe before it.

    Args:
        results: of a comparison.
    """
    lines = list(_lines(results))
    keys = list(dict.fromkeys(key for line in lines for key in line))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _safe(value) for key, value in line.items()} for line in lines)
    return stream.getvalue()


def _lines(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    across = {
        each["of"]["run"]: each
        for each in results["comparisons"]
        if each["of"]["run"] != each["against"]["run"]
    }
    settings = [each["path"] for each in results["settings"]]
    for row in results["rows"]:
        primary = row["role"] == "primary"
        held = results["runs"][row["runs"][0]]["settings"] if primary else {}
        cost = mapping(row["cost"])
        batch, time = latency_of(cost)
        line = {"run": " + ".join(row["runs"]), "network": row["name"], "role": row["role"]}
        line |= {path: held.get(path) for path in settings}
        line |= {"seeds": row["seeds"], "failed_seeds": len(row["failed_seeds"]), "steps": row["steps"]}
        for name, value in mapping(row["quality"]).items():
            line[name] = mean(value)
        values = sequence(mapping(mapping(row["quality"]).get(results["metric"])).get("per_seed"))
        line[f"{results['metric']} per seed"] = " ".join(map(str, values))
        line |= {name: cost.get(name) for name in _COSTS}
        line |= {"latency_batch": batch if time else None, "latency_ms_p50": time.get("p50")}
        line |= {"latency_ms_p95": time.get("p95")} | {name: cost.get(name) for name in _TRAINING}
        yield line | _against(across.get(row["runs"][0]) if primary else None, results["reference"])


def _against(pair: Mapping[str, Any] | None, reference: str) -> dict[str, Any]:
    verdict = mapping(pair["verdict"]) if pair else {}
    low, high = sequence(verdict.get("interval")) or (None, None)
    flipped = mapping(pair["flips"]) if pair else {}
    return {
        "against": reference if pair else None,
        "verdict": verdict.get("word"),
        "difference": verdict.get("difference"),
        "interval_low": low,
        "interval_high": high,
        "p_value": verdict.get("p_value"),
        "smallest_effect": verdict.get("smallest_effect"),
        "only_this_right": len(flipped["right"]) if flipped else None,
        "only_reference_right": len(flipped["wrong"]) if flipped else None,
    }


def _safe(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return " ".join(map(str, value)) if isinstance(value, list) else value
