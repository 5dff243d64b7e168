"""Outcomes of runs, held against each other over the seeds and the test examples that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from tutelage.comparison.flips import flips
from tutelage.comparison.pools import Pool
from tutelage.evaluation import Comparison, compare, holm
from tutelage.report.numbers import mapping, number, sequence
from tutelage.runs.scores import ExampleScores

__all__ = ["Pair", "Side", "judged", "pairs_of"]


@dataclass(frozen=True)
class Side:
    """An outcome of a pool.

    Args:
        pool: whose.
        outcome: its name.
    """

    pool: Pool
    outcome: str

    @property
    def values(self) -> dict[int, float]:
        """The metric by seed."""
        return self.pool.values(self.outcome, self.pool.metric)


@dataclass(frozen=True)
class Pair:
    """Two outcomes to hold against each other.

    Args:
        of: what is judged.
        against: what it is held against.
        uncontrolled: what is not equal between the two beside what is compared, in plain words.
    """

    of: Side
    against: Side
    uncontrolled: Sequence[str] = ()

    @property
    def inside(self) -> bool:
        """Whether both are of one pool."""
        return self.of.pool is self.against.pool

    @property
    def seeds(self) -> list[int]:
        """The seeds that both have, whether they ended well or not."""
        return [seed for seed in self.of.pool.source if seed in self.against.pool.source]

    @property
    def apart(self) -> list[int]:
        """The seeds that only one of them has, and that no difference uses."""
        return sorted(set(self.of.pool.source) ^ set(self.against.pool.source))

    def obstacle(self) -> str:
        """Why nothing can be held against anything; empty where it can."""
        if not self.seeds:
            return "they have no seed in common: run both with the same seeds"
        if not any(seed in side.values for side in (self.of, self.against) for seed in self.seeds):
            return "all of their common seeds broke off"
        hashes = {side.pool.first.data(self.tested).get("sha256") for side in (self.of, self.against)}
        if len(hashes - {None}) > 1:
            return "they were measured on other examples: run both on the same data"
        return ""

    @property
    def tested(self) -> str:
        """The split that results are of."""
        known = all(side.pool.first.data("test") for side in (self.of, self.against))
        return "test" if known else "validation"

    def compared(self, higher_is_better: bool, level: float) -> Comparison:
        """Hold them against each other; only where there is no obstacle."""
        failed = self._failed(higher_is_better)
        cells = self._cells(failed)
        sides = (self.against, self.of)
        held = [[side.values.get(seed, failed) for seed in self.seeds] for side in sides]
        examples = self._num_examples(cells)
        return compare(
            self.of.pool.metric,
            held[0],
            held[1],
            examples=None if cells is None else (cells[0], cells[1]),
            num_examples=None if cells is None else examples,
            higher_is_better=higher_is_better,
            level=level,
            resolution=self._resolution() if cells is None else 0.0,
            uncontrolled=self.uncontrolled,
            of=self.of.pool.label,
            against=self._name_of_against(),
            looks=max(side.pool.looks for side in sides),
            copies=any(scores.copies for side in sides if (scores := _scores(side))),
        )

    def flipped(self) -> dict[str, Any] | None:
        """The examples on which they part; None where that is not known, or nothing is right or wrong."""
        scores = self._shared()
        if scores is None or scores[0].grouped:
            return None
        seeds = [seed for seed in scores[0].seeds.tolist() if seed in scores[1].seeds.tolist()]
        if not seeds:
            return None
        of, against = (_rows(each, seeds) for each in scores)
        return flips(of, against, scores[0].ids)

    def _name_of_against(self) -> str:
        if not self.inside:
            return self.against.pool.label
        return (
            "control"
            if self.against.outcome == "control"
            else f"{self.of.pool.label}'s {self.against.outcome}"
        )

    def _shared(self) -> tuple[ExampleScores, ExampleScores] | None:
        """The scores of both on the same examples; None where one has none, or of others."""
        of, against = _scores(self.of), _scores(self.against)
        if of is None or against is None or of.grouped != against.grouped:
            return None
        return (of, against) if torch.equal(of.ids, against.ids) else None

    def _cells(self, failed: float) -> tuple[Tensor, Tensor] | None:
        """Against's and of's scores, [common seeds, examples] each."""
        shared = self._shared()
        if shared is None or shared[0].values.shape[1] < 2:
            return None
        of, against = (_rows(each, self.seeds, failed) for each in shared)
        return against, of

    def _num_examples(self, cells: tuple[Tensor, Tensor] | None) -> int | None:
        shared = self._shared()
        return None if cells is None or shared is None else shared[0].num_examples

    def _failed(self, higher_is_better: bool) -> float:
        """What a seed that broke off counts as: a guess, or the worst of all where that is not known."""
        for side in (self.of, self.against):
            scores = _scores(side)
            if scores is not None and scores.chance is not None:
                return scores.chance
        values = [*self.of.values.values(), *self.against.values.values()]
        return min(values) if higher_is_better else max(values)

    def _resolution(self) -> float:
        """The least step of a metric that counts examples, where nothing is known of single ones."""
        metric = self.of.pool.metric
        count = number(self.of.pool.first.data(self.tested).get("examples"))
        return 1.0 if metric == "errors" else 1 / count if metric == "accuracy" and count else 0.0


def pairs_of(pools: Sequence[Pool], reference: Pool, uncontrolled: dict[str, list[str]]) -> list[Pair]:
    """Each recipe against the reference, then each against its own control.

    Args:
        pools: all of them, the reference among them.
        reference: what the others are held against.
        uncontrolled: by label, what is not equal between a pool and the reference.
    """
    base = Side(reference, reference.primary)
    across = [
        Pair(Side(pool, pool.primary), base, uncontrolled.get(pool.label, []))
        for pool in pools
        if pool is not reference
    ]
    own = [
        Pair(Side(pool, pool.primary), Side(pool, pool.against), _own(pool))
        for pool in pools
        if pool.against is not None
    ]
    return across + own


def judged(pairs: Sequence[Pair], *, higher_is_better: bool, level: float) -> list[dict[str, Any]]:
    """The verdict on each pair, in plain values.

    Those against the reference are one family (Holm), those against a run's own control another.

    Args:
        pairs: what is held against what, those against the reference first.
        higher_is_better: the metric's direction.
        level: confidence that each family keeps at the first look, 0 … 1.
    """
    obstacles = [pair.obstacle() for pair in pairs]
    able = [pair for pair, obstacle in zip(pairs, obstacles, strict=True) if not obstacle]
    families = ([pair for pair in able if pair.inside is inside] for inside in (False, True))
    held = ([pair.compared(higher_is_better, level) for pair in family] for family in families)
    verdicts = chain.from_iterable(holm(family, primary=None) for family in held)
    found = []
    for pair, obstacle in zip(pairs, obstacles, strict=True):
        verdict = None if obstacle else next(verdicts).as_dict()
        found.append(
            {
                "of": {"run": pair.of.pool.label, "outcome": pair.of.outcome},
                "against": {"run": pair.against.pool.label, "outcome": pair.against.outcome},
                "seeds": pair.seeds,
                "seeds_of_one": pair.apart,
                "obstacle": obstacle or None,
                "verdict": verdict,
                "flips": None if obstacle else pair.flipped(),
            }
        )
    return found


def _own(pool: Pool) -> list[str]:
    """What the run itself says that it did not hold equal."""
    for verdict in map(mapping, sequence(pool.first.results.get("verdicts"))):
        if verdict.get("of") == pool.primary and verdict.get("against") == pool.against:
            return [str(said) for said in sequence(verdict.get("uncontrolled"))]
    return []


def _scores(side: Side) -> ExampleScores | None:
    return side.pool.scores(side.outcome)


def _rows(scores: ExampleScores, seeds: Sequence[int], failed: float = 0.0) -> Tensor:
    """The rows of these seeds; of one that broke off, the number that it counts as."""
    held = dict(zip(scores.seeds.tolist(), scores.values, strict=True))
    lost = torch.full_like(scores.values[0], failed)
    return torch.stack([held.get(seed, lost) for seed in seeds])
