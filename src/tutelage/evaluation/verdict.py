"""Did the teacher help: a student against the same student trained alone, on seeds and examples to come."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tutelage.evaluation.advice import advice
from tutelage.evaluation.judgement import Verdict, Word
from tutelage.evaluation.two_way import TwoWay, check_finite, check_level, seeds_alone, two_way
from tutelage.evaluation.wording import describe

__all__ = ["Comparison", "Verdict", "compare", "gap_closed", "judge"]

LEAST_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two outcomes held against each other, not yet judged: the level depends on what else is compared.

    Args:
        metric, difference, seeds, examples, uncontrolled, of, against: as a verdict's.
        higher_is_better: false for errors and losses.
        level: confidence of the interval, 0 … 1, at this look.
        looks: which look at the test set this is, from 1.
        luck: the difference and what its luck is made of; None where nothing can be judged.
        unjudged: why nothing can be judged: "seeds", "copies" or "agree"; empty where it can.
    """

    metric: str
    difference: float
    seeds: int
    examples: int | None
    higher_is_better: bool
    level: float
    looks: int
    luck: TwoWay | None
    unjudged: Literal["", "seeds", "copies", "agree"]
    uncontrolled: tuple[str, ...]
    of: str
    against: str

    @property
    def p_value(self) -> float | None:
        """1 − the level at which the interval just touches zero; None where nothing can be judged."""
        return self.luck.p_value() if self.luck else None

    def verdict(self, *, level: float | None = None, family: int = 1) -> Verdict:
        """Judge it.

        Args:
            level: confidence in place of its own, where several comparisons share the error.
            family: how many comparisons those are; 1 for one that stands alone.
        """
        level = self.level if level is None else level
        luck = self.luck
        interval = luck.interval(level) if luck else None
        word = _word(interval, higher_is_better=self.higher_is_better)
        found = Verdict(
            word=word,
            of=self.of,
            against=self.against,
            metric=self.metric,
            difference=self.difference,
            interval=interval,
            level=level,
            seeds=self.seeds,
            examples=self.examples,
            share_of_seeds=luck.share_of_seeds(level) if luck else None,
            share_of_test_set=luck.share_of_test_set(level) if luck else None,
            smallest_effect=luck.smallest_effect(level) if luck else None,
            p_value=self.p_value,
            why="",
            uncontrolled=self.uncontrolled,
            advice=advice(word, self.unjudged, luck, self.examples, level),
        )
        return dataclasses.replace(found, why=describe(found, self.unjudged, looks=self.looks, family=family))


def judge(
    metric: str,
    control: Sequence[float],
    student: Sequence[float],
    *,
    examples: tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]] | None = None,
    num_examples: int | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
    resolution: float = 0.0,
    uncontrolled: Sequence[str] = (),
    of: str = "student",
    against: str = "control",
    looks: int = 1,
    copies: bool = False,
) -> Verdict:
    """Compare a student with its control: the same student, initialisation and data order, without a teacher.

    With `examples` the interval says what to expect of another seed on another test set drawn alike; without,
    of another seed on this one. One comparison is judged alone; where there are several, see `holm`.

    Args:
        metric: what the numbers are; accuracies and recalls are worded in points (hundredths).
        control, student: one number for each seed, the same seed at the same place.
        examples: control's and student's value of each seed on each test example, in the metric's unit, with
            the metric as their mean; or pseudo-values of groups of examples, from `jackknife`.
        num_examples: how many test examples stand behind groups; by default there is one a column.
        higher_is_better: false for errors and losses.
        level: confidence of the interval at the first look, 0 … 1.
        resolution: without `examples`, the least step of the metric: 1 for a count of errors, 1/N for an
            accuracy over N.
        uncontrolled: what was not held equal, in plain words.
        of, against: names of what was judged and what it was held against.
        looks: how often the test set was looked at, this time included. Look k is judged at a level of
            1 − (1 − level)/2^(k−1), so that all looks together err less than twice as often as one: where
            there is no difference, some look finds one in less than 2·(1 − level) of all studies (10 % for
            95 %, half of it "better").
        copies: whether all seeds of an arm ended with equal weights, which leaves one seed.

    Raises:
        ValueError: lists that are empty, of unequal lengths or not finite; examples that do not fit them; a
            level outside 0 … 1; a look below 1.
    """
    return compare(
        metric,
        control,
        student,
        examples=examples,
        num_examples=num_examples,
        higher_is_better=higher_is_better,
        level=level,
        resolution=resolution,
        uncontrolled=uncontrolled,
        of=of,
        against=against,
        looks=looks,
        copies=copies,
    ).verdict()


def compare(
    metric: str,
    control: Sequence[float],
    student: Sequence[float],
    *,
    examples: tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]] | None = None,
    num_examples: int | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
    resolution: float = 0.0,
    uncontrolled: Sequence[str] = (),
    of: str = "student",
    against: str = "control",
    looks: int = 1,
    copies: bool = False,
) -> Comparison:
    """Hold a student against its control without judging yet; the arguments are those of `judge`."""
    _check_pairs(control, student)
    check_level(level)
    if looks < 1:
        raise ValueError(f"looks are counted from 1; got {looks}")
    differences = [_difference(ours, alone) for ours, alone in zip(student, control, strict=True)]
    cells = None if examples is None else _cells(examples, control, student)
    unjudged = _unjudged(differences, cells, copies, resolution)
    luck = None
    if not unjudged and cells is None:
        luck = seeds_alone(differences, resolution=resolution)
    elif not unjudged and cells is not None:
        luck = dataclasses.replace(two_way(cells), mean=statistics.fmean(differences))
    return Comparison(
        metric=metric,
        difference=statistics.fmean(differences),
        seeds=len(differences),
        examples=None if cells is None else num_examples or cells.shape[1],
        higher_is_better=higher_is_better,
        level=1 - (1 - level) / 2 ** (looks - 1),
        looks=looks,
        luck=luck,
        unjudged=unjudged,
        uncontrolled=tuple(uncontrolled),
        of=of,
        against=against,
    )


def gap_closed(
    teacher: float, control: float, student: float, *, higher_is_better: bool = True
) -> float | None:
    """The share of the gap between control and teacher that the student closed.

    0 is no better than alone, 1 is as good as the teacher; it may lie outside.

    Args:
        teacher, control, student: one metric of each, in the same unit.
        higher_is_better: false for errors and losses.

    Returns:
        The share, or None where the teacher is no better than the control: there is no gap to close.

    Raises:
        ValueError: a number that is not finite.
    """
    check_finite("teacher, control and student", (teacher, control, student))
    sign = 1 if higher_is_better else -1
    gap = sign * (teacher - control)
    return sign * (student - control) / gap if gap > 0 else None


def _unjudged(
    differences: Sequence[float], cells: Tensor | None, copies: bool, resolution: float
) -> Literal["", "seeds", "copies", "agree"]:
    """Why no interval can be judged: one seed, in truth or in effect, says nothing about the next."""
    if len(differences) < LEAST_SEEDS:
        return "seeds"
    if copies:
        return "copies"
    if cells is None:
        alike = math.isclose(min(differences), max(differences), rel_tol=1e-9)
        return "agree" if alike and resolution == 0 else ""
    return "agree" if bool((cells == cells[0]).all()) else ""


def _cells(examples: tuple[Tensor, Tensor], control: Sequence[float], student: Sequence[float]) -> Tensor:
    """The differences of each seed on each example, after a look at whether they belong to the metric."""
    alone, ours = (each.double() for each in examples)
    if alone.shape != ours.shape or alone.ndim != 2 or len(alone) != len(control) or alone.shape[1] < 2:
        raise ValueError(
            f"examples [seeds, examples] of control and student were expected, {len(control)} seeds and at "
            f"least two examples; got {list(alone.shape)} and {list(ours.shape)}"
        )
    for name, values, metric in (("control", alone, control), ("student", ours, student)):
        for seed, (mean, said) in enumerate(zip(values.mean(1).tolist(), metric, strict=True)):
            if not math.isclose(mean, said, rel_tol=1e-4, abs_tol=1e-9):
                raise ValueError(
                    f"examples whose mean is the metric were expected; of the {name}, at seed {seed}, they "
                    f"have the mean {mean:.6g} and the metric is {said:.6g}: give them in the metric's unit"
                )
    return ours - alone


def _word(interval: tuple[float, float] | None, *, higher_is_better: bool) -> Word:
    if interval is None or interval[0] <= 0 <= interval[1] or interval[0] == interval[1]:
        return "not shown"
    return "better" if (interval[0] > 0) == higher_is_better else "worse"


def _difference(ours: float, alone: float) -> float:
    """The difference, with what is only rounding taken for none."""
    return 0.0 if math.isclose(ours, alone, rel_tol=1e-12) else ours - alone


def _check_pairs(control: Sequence[float], student: Sequence[float]) -> None:
    if len(control) != len(student):
        raise ValueError(
            f"paired seeds were expected; got {len(control)} for the control and {len(student)} for the "
            "student: run both with the same seeds"
        )
    check_finite("control", control)
    check_finite("student", student)
