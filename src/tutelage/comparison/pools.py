"""Runs of one recipe, put together over their seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from tutelage.comparison.records import Record
from tutelage.report.numbers import lower_is_better, mapping, number, sequence
from tutelage.runs.scores import ExampleScores

__all__ = ["Pool", "pooled"]


@dataclass(frozen=True)
class Pool:
    """Runs of one recipe on one set of data; a seed that came twice counts once.

    Args:
        label: what to call it.
        records: its runs.
    """

    label: str
    records: Sequence[Record]

    @property
    def first(self) -> Record:
        """The run whose recipe, teacher and costs stand for all."""
        return self.records[0]

    @property
    def primary(self) -> str:
        """The outcome that the recipe is about."""
        return self.first.primary

    @property
    def against(self) -> str | None:
        """The outcome that the primary one is held against; None without a control."""
        said = mapping(self.first.outcomes[self.primary]).get("against")
        return str(said) if said in self.first.outcomes else None

    @property
    def metric(self) -> str:
        """What the verdict is about."""
        return self.first.metric

    @property
    def looks(self) -> int:
        """How often the test set was looked at."""
        return max(int(number(record.results.get("looks")) or 1) for record in self.records)

    @property
    def repeated(self) -> list[int]:
        """Seeds that more than one of the runs has."""
        seeds = [seed for record in self.records for seed in record.seeds]
        return sorted({seed for seed in seeds if seeds.count(seed) > 1})

    @cached_property
    def source(self) -> dict[int, Record]:
        """Seed -> the run whose numbers are taken for it."""
        found: dict[int, Record] = {}
        for record in self.records:
            for seed in record.seeds:
                found.setdefault(seed, record)
        return dict(sorted(found.items()))

    def higher_is_better(self) -> bool:
        """The metric's direction: as the scores say, or the verdict; else by its name."""
        told = [held for record in self.records if (held := record.scores(self.primary))]
        if told:
            return told[0].higher_is_better
        verdict = mapping(self.first.results.get("verdict"))
        word, apart = verdict.get("word"), number(verdict.get("difference"))
        if word in ("better", "worse") and apart:
            return bool((word == "better") == (apart > 0))
        return not lower_is_better(self.metric)

    def values(self, outcome: str, metric: str) -> dict[int, float]:
        """A metric of an outcome by seed, of the seeds that ended well."""
        found = {}
        for record in self.records:
            held = mapping(mapping(mapping(record.outcomes.get(outcome)).get("quality")).get(metric))
            pairs = zip(record.finished(outcome), sequence(held.get("per_seed")), strict=False)
            found.update({seed: value for seed, value in pairs if self.source.get(seed) is record})
        return {seed: found[seed] for seed in self.source if seed in found}

    def failed(self, outcome: str) -> list[int]:
        """The seeds of an outcome that broke off."""
        return [seed for seed, record in self.source.items() if seed not in record.finished(outcome)]

    def scores(self, outcome: str) -> ExampleScores | None:
        """The scores of examples on all seeds; None where a run kept none, or kept them of other examples."""
        held = {record.folder: record.scores(outcome) for record in self.records}
        known = [each for each in held.values() if each is not None]
        if len(known) < len(held) or any(not torch.equal(each.ids, known[0].ids) for each in known):
            return None
        rows: dict[int, Tensor] = {}
        for record in self.records:
            own = held[record.folder]
            assert own is not None
            told = zip(own.seeds.tolist(), own.values, strict=True)
            rows |= {seed: row for seed, row in told if self.source.get(seed) is record}
        if not rows:
            return None
        kept = sorted(rows)
        copies = any(each.copies for each in known)
        values = torch.stack([rows[seed] for seed in kept])
        return replace(known[0], values=values, seeds=torch.tensor(kept), copies=copies)

    def entry(self, outcome: str) -> dict[str, Any]:
        """An outcome's quality, calibration and cost over all seeds, in the shape that results have."""
        first = mapping(self.first.outcomes[outcome])
        quality = {name: _spread(self.values(outcome, name)) for name in mapping(first.get("quality"))}
        cost = dict(mapping(first.get("cost")))
        for key in ("train_seconds", "train_seconds_of_teacher"):
            told = [
                found
                for record in self.source.values()
                if (found := number(mapping(record.outcomes[outcome].get("cost")).get(key))) is not None
            ]
            cost[key] = fmean(told) if told else None
        return {
            "quality": {name: held for name, held in quality.items() if held},
            "calibration": mapping(first.get("calibration")) if len(self.records) == 1 else {},
            "cost": cost,
            "steps": first.get("steps"),
            "failed_seeds": self.failed(outcome),
        }


def pooled(records: Iterable[tuple[str | None, Record]]) -> list[Pool]:
    """Put runs together that differ in nothing but their seeds, in the order in which they came.

    Args:
        records: runs, each with a name that the user gave it, or None. Different recipes of one name get
            numbers.
    """
    groups: dict[str, list[Record]] = {}
    names: dict[str, str | None] = {}
    for name, record in records:
        key = json.dumps([name, *_identity(record)], sort_keys=True, default=str)
        groups.setdefault(key, []).append(record)
        names[key] = name
    labels = _labels([(names[key], held) for key, held in groups.items()])
    return [Pool(label, held) for label, held in zip(labels, groups.values(), strict=True)]


def _identity(record: Record) -> list[Any]:
    """What runs of one pool have in common; networks from code are told apart by the shapes of weights."""
    data = [record.data(part).get("sha256") for part in ("train", "validation", "test")]
    code = [record.shapes, record.made_of.get("teacher")] if record.from_code else []
    return [record.name, record.recipe, data, record.primary, sorted(record.outcomes), *code]


def _spread(values: Mapping[int, float]) -> dict[str, Any]:
    held = list(values.values())
    return {"mean": fmean(held), "per_seed": held} if held else {}


def _labels(groups: Sequence[tuple[str | None, Sequence[Record]]]) -> list[str]:
    """The user's name, or the folder's; more of its path, and at last a number, where two are alike."""
    paths = [held[0].folder.resolve() for _, held in groups]
    for depth in (1, 2, 3):
        found = [name or _named(path, depth) for (name, _), path in zip(groups, paths, strict=True)]
        if len(set(found)) == len(found):
            return found
    return [
        each if found.index(each) == place else f"{each} ({place + 1})" for place, each in enumerate(found)
    ]


def _named(path: Path, depth: int) -> str:
    return "/".join(path.parts[-depth:])
