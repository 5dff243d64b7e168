"""Several comparisons on one test set, and who is to be thanked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tutelage.evaluation.verdict import Comparison, Verdict

__all__ = ["credited", "holm"]


def holm(
    comparisons: Sequence[Comparison], *, primary: int | None = 0, level: float | None = None
) -> list[Verdict]:
    """Judge several comparisons: the primary one at its own level, the others as a family.

    The family is sorted by p-value, and the k-th smallest of m is judged at 1 − (1 − level)/(m − k + 1); the
    first that is not shown stops it, and all that follow are judged at its level. So the chance that any of
    the family gets a wrong word is at most 1 − level, whatever they have in common. The primary comparison
    was chosen beforehand and pays nothing; it adds its own 1 − level.

    Args:
        comparisons: what was held against what, from `compare`.
        primary: the place of the one that the study is about; None where all are of one family.
        level: confidence that the family keeps, 0 … 1, before looks; by default each comparison's own.

    Returns:
        The verdicts, in the order of the comparisons. Each interval has the level it was judged at; the
        p-values are those of single comparisons.

    Raises:
        ValueError: a primary that is not among them; a level outside 0 … 1.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    if primary is not None and not 0 <= primary < len(comparisons):
        raise ValueError(f"a primary among {len(comparisons)} comparisons was expected; got place {primary}")
    if level is not None and not 0 < level < 1:
        raise ValueError(f"a confidence level between 0 and 1 was expected (0.95, say); got {level}")
    family = [place for place in range(len(comparisons)) if place != primary]
    family.sort(key=lambda place: _p_value(comparisons[place]))
    verdicts = {} if primary is None else {primary: comparisons[primary].verdict()}
    share = len(family)
    for place in family:
        one = comparisons[place]
        error = 1 - one.level if level is None else (1 - level) / 2 ** (one.looks - 1)
        verdicts[place] = one.verdict(level=1 - error / share, family=len(family))
        if verdicts[place].word != "not shown":
            share -= 1
    return [verdicts[place] for place in range(len(comparisons))]


def credited(verdict: Verdict, placebo: Verdict) -> Verdict:
    """Say who is to be thanked for a better student: the teacher, or what else the recipe changed.

    Args:
        verdict: the student against its control.
        placebo: the same student against a placebo: the same recipe with a teacher that knows nothing.

    Returns:
        The verdict; where it is "better", with the credit and a sentence more. "The recipe" says that nothing
        here shows a part of the teacher in it, not that it had none.
    """
    if verdict.word != "better":
        return verdict
    teacher = placebo.word == "better"
    said = (
        "; better than a placebo too, so the credit is the teacher's"
        if teacher
        else "; not shown to be better than a placebo, so the credit is the recipe's"
    )
    why = verdict.why + said
    return dataclasses.replace(verdict, credit="the teacher" if teacher else "the recipe", why=why)


def _p_value(comparison: Comparison) -> float:
    return 1.0 if comparison.p_value is None else comparison.p_value
