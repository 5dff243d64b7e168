"""Every network of a comparison: what it reaches and what it costs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.comparison.pools import Pool
from tutelage.comparison.records import Measure
from tutelage.report.numbers import mapping

__all__ = ["networks"]

_ROLES = ("primary", "measure", "teacher", "against", "other")
"""In which order rows stand."""


def networks(pools: Sequence[Pool], measures: Sequence[Measure]) -> list[dict[str, Any]]:
    """Every network, those that one chooses between first.

    Teachers, controls and others that are the same in several runs stand once.

    Args:
        pools: what is compared.
        measures: what was measured elsewhere.
    """
    found: dict[str, dict[str, Any]] = {}
    for pool in pools:
        entries = {"teacher": mapping(pool.first.results.get("teacher"))} if _has_teacher(pool) else {}
        roles = dict.fromkeys(entries, "teacher")
        for outcome in pool.first.outcomes:
            name = f"{outcome} (outcome)" if outcome in entries else outcome
            entries[name] = pool.entry(outcome)
            roles[name] = {pool.primary: "primary", pool.against: "against"}.get(outcome, "other")
        for name, entry in entries.items():
            role = roles[name]
            mark = [name, role, entry.get("quality"), mapping(entry.get("cost")).get("parameters")]
            mark += [pool.label] if role == "primary" else []
            seeds = None if role == "teacher" else len(pool.source)
            row = {"runs": [], "name": name, "role": role, "seeds": seeds, **_parts(entry)}
            found.setdefault(json.dumps(mark, sort_keys=True), row)["runs"].append(pool.label)
    rows = [*found.values(), *(_measured(one) for one in measures)]
    return sorted(rows, key=lambda row: _ROLES.index(row["role"]))


def _has_teacher(pool: Pool) -> bool:
    return bool(pool.first.results.get("teacher"))


def _parts(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "quality": entry.get("quality") or {},
        "calibration": entry.get("calibration") or {},
        "cost": entry.get("cost") or {},
        "steps": entry.get("steps"),
        "failed_seeds": list(entry.get("failed_seeds") or []),
    }


def _measured(one: Measure) -> dict[str, Any]:
    told = {"machine": one.machine, "examples": one.examples}
    return {"runs": [], "name": one.name, "role": "measure", "seeds": None, **_parts(one.entry()), **told}
