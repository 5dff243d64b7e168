"""What training cost, the teacher's share included, and what share of it would break even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.comparison.pools import Pool
from tutelage.report.numbers import mapping, number

__all__ = ["break_even_charge", "costs"]


def costs(pools: Sequence[Pool]) -> list[dict[str, Any]]:
    """Seconds of training of each recipe's primary outcome, a mean over seeds.

    Args:
        pools: what is compared.

    Returns:
        Of each: `own`, `teacher` (what it is charged of the teacher's training and answering), `whole`,
        `control`, and `break_even_charge`; null where a run did not say.
    """
    found = []
    for pool in pools:
        cost = pool.entry(pool.primary)["cost"]
        whole, teacher = (number(cost.get(name)) for name in ("train_seconds", "train_seconds_of_teacher"))
        own = None if whole is None else whole - (teacher or 0.0)
        alone = None if pool.against is None else mapping(pool.entry(pool.against)["cost"])
        control = None if alone is None else number(alone.get("train_seconds"))
        found.append(
            {
                "run": pool.label,
                "own": own,
                "teacher": teacher,
                "whole": whole,
                "control": control,
                "break_even_charge": break_even_charge(own, teacher, control),
            }
        )
    return found


def break_even_charge(own: float | None, teacher: float | None, control: float | None) -> float | None:
    """The share of the teacher's seconds that a student can be charged and cost no more than its control.

    Below it the student's training is the cheaper one, above it the control's: 1 is the teacher's whole cost,
    1/20 that of a teacher who has twenty such students. At 0 or below the student takes as long as its
    control even if its teacher costs nothing.

    Args:
        own: seconds of the student's own training.
        teacher: seconds of the teacher's that it is charged with in full.
        control: seconds of the control's training.

    Returns:
        The share, which may be negative or above 1; None where one of the three is not known, or the teacher
        cost nothing.

    Example:
        >>> break_even_charge(8.0, 20.0, 10.0)
        0.1
    """
    if own is None or control is None or not teacher:
        return None
    return (control - own) / teacher
