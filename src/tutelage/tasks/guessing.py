"""What an answer that ignores its inputs would reach, where answers are numbers or several labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutelage.tasks.collected import Collected
from tutelage.tasks.exam import Exam

__all__ = ["guess"]


def guess(exam: Exam, train: Tensor, held: Tensor, *, several: bool) -> float | None:
    """The metric of the training labels' mean, said of every example.

    Args:
        exam: what measures it.
        train: labels that are learnt from, numbers [n, k], NaN where there is none.
        held: labels that it is measured on, likewise.
        several: whether answers are logits of yes.

    Returns:
        The metric; None where it cannot be told, as of a metric that a constant answer has no value of.
    """
    mean = train.double().nanmean(0)
    if several:
        mean = mean.clamp(1e-6, 1 - 1e-6).logit()
    outputs = mean.expand(len(held), -1)
    if not bool(outputs.isfinite().all()):
        return None
    try:
        value = float(
            exam.measure(Collected(outputs.double(), held.double(), torch.arange(len(held))))[exam.metric]
        )
    except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError):  # a function of the user's own
        return None
    return value if math.isfinite(value) else None
