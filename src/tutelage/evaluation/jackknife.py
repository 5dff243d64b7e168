"""Metrics that are no mean over examples, shared out among groups of examples (delete-a-group jackknife)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.data.random import uniform

__all__ = ["MOST_GROUPS", "groups_of", "jackknife"]

MOST_GROUPS = 100


class Takes(Protocol):
    """Answers to items, of which some can be taken."""

    def take(self, places: Int[Tensor, " k"], /) -> Self:
        """The items at these places."""


Answers = TypeVar("Answers", bound=Takes)


def jackknife(
    measure: Callable[[Answers], float],
    answers: Answers,
    clusters: Int[Tensor, " n"],
    *,
    most: int = MOST_GROUPS,
) -> Float[Tensor, " g"]:
    """Share a metric out among groups of examples: pseudo-values, whose mean is the metric itself.

    Leaving out one group after another shows what each adds. Groups depend on the examples' ids alone, so
    that the pseudo-values of student and control, and of all seeds, are paired. For a mean over examples with
    a group each they are the examples' own values.

    Args:
        measure: the metric of answers.
        answers: what a network said to all items, as `Predictions`: anything with `take(places)`.
        clusters: which example (document, image, user) each item belongs to; an example is left out whole.
        most: how many groups at most.

    Returns:
        One number for each group, in the metric's unit, float64: θ + (G−1)·(mean of θ₍₋g₎ − θ₍₋g₎).

    Raises:
        ValueError: fewer than two examples, or a metric that is not finite, over all or without a group.

    Source: Quenouille 1956, "Notes on Bias in Estimation"; Tukey 1958. Differences: groups are left out in
        place of examples, and the values are shifted so that their mean is θ, not θ less its bias.
    """
    groups = groups_of(clusters, most=most)
    count = int(groups.max()) + 1
    whole = _finite(measure(answers), "over all examples")
    without = torch.empty(count, dtype=torch.float64)
    for group in range(count):
        kept = (groups != group).nonzero().squeeze(-1)
        without[group] = _finite(measure(answers.take(kept)), f"without group {group} of {count}")
    return whole + (count - 1) * (without.mean() - without)


def groups_of(clusters: Int[Tensor, " n"], *, most: int = MOST_GROUPS) -> Int[Tensor, " n"]:
    """Spread examples over groups that differ by one example at most, by a fixed hash of their ids.

    Args:
        clusters: which example each item belongs to.
        most: how many groups at most; fewer where there are fewer examples.

    Returns:
        The group of each item, 0 … G−1.

    Raises:
        ValueError: fewer than two examples or groups.
    """
    examples, place = torch.unique(clusters, return_inverse=True)
    count = min(most, len(examples))
    if count < 2:
        raise ValueError(
            f"at least two examples and two groups were expected; got {len(examples)} examples and at most "
            f"{most} groups"
        )
    shuffled = uniform(examples, seed=0, draw="groups").argsort(stable=True)
    groups = torch.empty_like(shuffled)
    groups[shuffled] = torch.arange(len(examples)) % count
    return groups[place]


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise ValueError(
            f"a metric that is finite was expected; {where} it is {value}: judge another metric, or measure "
            "on more test examples"
        )
    return float(value)
