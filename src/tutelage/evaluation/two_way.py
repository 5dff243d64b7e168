"""The interval of a mean difference whose luck is of two kinds: of the seeds, and of the test examples."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from scipy.special import stdtrit
from torch import Tensor

__all__ = ["POWER", "TwoWay", "check_finite", "check_level", "paired_interval", "seeds_alone", "two_way"]

POWER = 0.8
_LEAST_P = 1e-100


@dataclass(frozen=True, slots=True)
class TwoWay:
    """A mean difference and what its luck is made of.

    Args:
        mean: the mean over seeds and examples.
        seeds: S, at least 2.
        examples: N, at least 2; None where only the luck of seeds is known.
        seed_variance: variance between seeds, beyond what examples put into it.
        example_variance: variance between examples, beyond what seeds put into it; 0 without examples.
        interaction: variance of one seed on one example, beyond both; 0 without examples.
    """

    mean: float
    seeds: int
    examples: int | None
    seed_variance: float
    example_variance: float = 0.0
    interaction: float = 0.0

    def half_width(self, level: float, *, seeds: int | None = None, times: float = 1.0) -> float:
        """Half of the interval's width, here or with other seeds and so many times the test examples."""
        return math.hypot(*self._lucks((1 - level) / 2, seeds or self.seeds, times))

    def interval(self, level: float) -> tuple[float, float]:
        """(low, high) at a confidence level, 0 … 1."""
        half = self.half_width(level)
        return self.mean - half, self.mean + half

    def share_of_seeds(self, level: float) -> float | None:
        """The seeds' part of the squared half width, 0 … 1; None where only they are known, or no luck is."""
        seeds, examples = self._lucks((1 - level) / 2, self.seeds, 1.0)
        return (
            None if self.examples is None or seeds == examples == 0 else seeds**2 / (seeds**2 + examples**2)
        )

    def share_of_test_set(self, level: float) -> float | None:
        """The test examples' part of the squared half width, 0 … 1: what `share_of_seeds` leaves."""
        seeds = self.share_of_seeds(level)
        return None if seeds is None else 1 - seeds

    def smallest_effect(self, level: float, *, seeds: int | None = None, times: float = 1.0) -> float:
        """The smallest true difference whose interval would leave out zero four times out of five."""
        luck = math.hypot(*self._lucks(1 - POWER, seeds or self.seeds, times))
        return self.half_width(level, seeds=seeds, times=times) + luck

    def p_value(self) -> float:
        """1 − the level at which the interval just touches zero, 0 … 1; 1 where there is no difference."""
        if self.mean == 0:
            return 1.0
        low, high = math.log(_LEAST_P), 0.0  # of the p-value: the interval narrows as it grows
        for _ in range(100):
            middle = (low + high) / 2
            wide = math.hypot(*self._lucks(math.exp(middle) / 2, self.seeds, 1.0)) > abs(self.mean)
            low, high = (middle, high) if wide else (low, middle)
        return math.exp((low + high) / 2)

    def _lucks(self, tail: float, seeds: int, times: float) -> tuple[float, float]:
        """How far the luck of seeds, and that of examples, goes with this probability to one side."""
        examples = (self.examples or 1) * times
        of_seeds = (self.seed_variance + self.interaction / examples) / seeds
        of_examples = self.example_variance / examples
        freedom = (self.examples or 2) - 1
        return _t(tail, seeds - 1) * math.sqrt(of_seeds), _t(tail, freedom) * math.sqrt(of_examples)


def two_way(differences: Float[Tensor, "s n"]) -> TwoWay:
    """Take apart the differences of S seeds on N test examples, both drawn at random.

    With A the variance between seeds' means, B that between examples' means, and E the variance that is left
    when both are taken out: the variance of the mean is max(A, E/N)/S + max(0, B/N − E/(S·N)). The two parts
    get the t of S−1 and of N−1 degrees of freedom. Where examples add nothing, it is the t interval over
    seeds.

    Args:
        differences: student − control of each seed on each example, finite.

    Raises:
        ValueError: fewer than two seeds or examples, or a difference that is not finite.

    Source: a crossed random-effects model with one observation a cell, its mean squares as in Scheffé 1959,
        "The Analysis of Variance", section 7.4. Differences: parts below zero count as zero, and each part
        has its own t, which is never narrower than one t with Satterthwaite's degrees of freedom between.
    """
    seeds, examples = differences.shape
    if seeds < 2 or examples < 2:
        raise ValueError(f"at least two seeds and two examples were expected; got {seeds} and {examples}")
    held = differences.double()
    if not bool(held.isfinite().all()):
        raise ValueError("differences of examples: finite numbers were expected; got NaN or infinite ones")
    mean = held.mean()
    rows, columns = held.mean(1, keepdim=True) - mean, held.mean(0, keepdim=True) - mean
    left = (held - mean - rows - columns).square_().sum() / ((seeds - 1) * (examples - 1))
    interaction = float(left)
    between_seeds, between_examples = float(rows.var()), float(columns.var())
    return TwoWay(
        mean=float(mean),
        seeds=seeds,
        examples=examples,
        seed_variance=max(0.0, between_seeds - interaction / examples),
        example_variance=max(0.0, between_examples - interaction / seeds),
        interaction=interaction,
    )


def seeds_alone(differences: Sequence[float], *, resolution: float = 0.0) -> TwoWay:
    """The luck of seeds where nothing is known of single examples.

    Args:
        differences: one number for each seed, at least two.
        resolution: the least step of the metric that was compared, in the differences' unit: the spread is
            taken to be at least that of rounding to it.
    """
    rounding = resolution * math.sqrt(2 / 12)  # of two metrics, each uniform within its step
    spread = max(statistics.stdev(differences), rounding)
    return TwoWay(statistics.fmean(differences), len(differences), None, spread**2)


def paired_interval(
    differences: Sequence[float], *, level: float = 0.95, resolution: float = 0.0
) -> tuple[float, float] | None:
    """Student's t interval of the mean difference over paired seeds.

    It assumes that the differences are independent and roughly normal, and says nothing about another test
    set. A metric that moves in steps, as a count over a test set does, can agree to the last example between
    two seeds by chance; the spread is therefore taken to be at least that of rounding to such steps. Without
    a resolution, differences that are all equal give an interval without width.

    Args:
        differences: one number for each seed.
        level: confidence, 0 … 1.
        resolution: the least step of the metric that was compared, in the differences' unit.

    Returns:
        (low, high) in the differences' unit, or None for one seed, which has no spread.

    Raises:
        ValueError: no difference, one that is not finite, or a level outside 0 … 1.

    Source: Student 1908, "The Probable Error of a Mean".
    """
    check_finite("differences", differences)
    check_level(level)
    if len(differences) == 1:
        return None
    return seeds_alone(differences, resolution=resolution).interval(level)


def check_finite(name: str, values: Sequence[float]) -> None:
    """Refuse an empty list, and numbers that are not finite."""
    broken = [value for value in values if not math.isfinite(value)]
    if not values or broken:
        came = f"{len(broken)} of {len(values)} NaN or infinite" if broken else "none"
        raise ValueError(f"{name}: finite numbers were expected, at least one; got {came}")


def check_level(level: float) -> None:
    """Refuse a confidence level outside 0 … 1."""
    if not 0 < level < 1:
        raise ValueError(f"a confidence level between 0 and 1 was expected (0.95, say); got {level}")


def _t(tail: float, freedom: int) -> float:
    """The value of Student's t that is exceeded with this probability, up to a half."""
    return -float(stdtrit(freedom, tail))
