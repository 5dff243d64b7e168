"""The way of a student: what each stage did to it, in quality, size and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tutelage.runs.examined import Examined, examine
from tutelage.runs.judging import difference_of
from tutelage.runs.measuring import cost_of_network, latencies_of, spread
from tutelage.studies import Change, Study
from tutelage.traced import OnnxNetwork, missing_instructions
from tutelage.training import Trained
from tutelage.training.changing import SLOWER

__all__ = ["way_of"]


def way_of(
    study: Study, trained: Mapping[str, Sequence[Trained]], device: torch.device
) -> list[dict[str, Any]]:
    """Each stop of the primary outcome's network, in order; none of a study that changes no network.

    Args:
        study: whose.
        trained: by arm and seed.
        device: where to measure.

    Returns:
        for each stop `name`, `quality`, `cost`, and against the stop before the `difference` of the metric
        with its `interval` over seeds and test examples; after a change, by batch size how many times
        `slower` it is, where both latencies are stable, and the instructions `lacking` for INT8; of the first
        seed what was measured while it was changed: `slower`, `metric` on validation, and why it was
        `undone`.
    """
    stops = {name: one for name, one in study.way.items() if one.arm in trained}
    if not stops:
        return []
    found = examine(study, trained, device, outcomes=stops)
    timed = _latencies(found, study, device)
    entries: list[dict[str, Any]] = []
    before = None
    for name, one in found.items():
        entry = {
            "name": name,
            "quality": spread([each.quality for each in one.finished]),
            "cost": _cost(one, device) | {"latency_ms": timed.get(name, {})},
            **_arrow(study, one, before),
            **_slower(one, entries[-1]["cost"]["latency_ms"] if entries else {}, timed.get(name, {})),
            **_told(one),
        }
        entries.append(entry)
        before = one
    return entries


def _cost(one: Examined, device: torch.device) -> dict[str, Any]:
    if one.network is None:
        return {}
    return cost_of_network(one.network, one.problem, device, name=one.outcome.network, latency=False)


def _arrow(study: Study, one: Examined, before: Examined | None) -> dict[str, Any]:
    if before is None or not one.finished or not before.finished:
        return {"difference": None, "interval": None}
    difference, interval = difference_of(study, one, before)
    return {"difference": difference, "interval": interval}


def _slower(one: Examined, before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """By batch size how many times slower a change made it, and the instructions that INT8 lacks here."""
    stage = one.outcome.stage
    if stage is None or not isinstance(one.arm.stages[stage], Change):
        return {}
    found = {}
    for batch, held in now.items():
        was = before.get(batch)
        if was and was["stable"] and held["stable"] and held["p50"] > SLOWER * was["p50"]:
            found[batch] = held["p50"] / was["p50"]
    if found and isinstance(one.network, OnnxNetwork) and one.network.rounded == "all":
        return {"slower": found, "lacking": missing_instructions()}
    return {"slower": found}


def _told(one: Examined) -> dict[str, Any]:
    """What was measured while it was changed, of the first seed that ended well."""
    done = next((each for each in one.trained if each.failed is None), None)
    stage = one.outcome.stage
    if done is None or stage is None:
        return {}
    return dict(done.changes.get((stage, one.outcome.network), {}))


def _latencies(found: Mapping[str, Examined], study: Study, device: torch.device) -> dict[str, Any]:
    """All stops, timed in turns beside each other."""
    networks: dict[str, Any] = {
        name: (one.network, one.outcome.network) for name, one in found.items() if one.network is not None
    }
    return latencies_of(networks, None, study.problem, device)
