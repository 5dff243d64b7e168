"""Lessons: parts of the classes that are learnt one after another, and answers that keep to some of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import DataError

__all__ = ["accuracies", "check_lessons", "within"]

_NEVER = -1e4  # finite, so that no difference of two of them is NaN


def check_lessons(lessons: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Lessons as tuples.

    Raises:
        DataError: a lesson of fewer than two classes, or a class in two of them.
    """
    held = tuple(tuple(lesson) for lesson in lessons)
    named = [kind for lesson in held for kind in lesson]
    if any(len(lesson) < 2 for lesson in held) or len(set(named)) < len(named) or min(named, default=0) < 0:
        raise DataError(
            f"lessons came as {[list(lesson) for lesson in held]}; expected lists of at least two classes, "
            "numbered from 0, each class in one of them"
        )
    return held


def within(
    logits: Float[Tensor, "items classes"], labels: Int[Tensor, " items"], lessons: Sequence[Sequence[int]]
) -> Float[Tensor, "items classes"]:
    """The logits of the classes of each example's own lesson; all others are as low as can be.

    Examples whose class is in no lesson, or that have no label, keep their logits.

    Args:
        logits, labels: of the examples.
        lessons: the classes of each.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> within(logits, torch.tensor([1]), [[0, 1], [2, 3]]).argmax(-1)
        tensor([1])
    """
    for lesson in lessons:
        own = torch.tensor(lesson, device=labels.device)
        mine = torch.isin(labels, own).unsqueeze(-1)
        logits = torch.where(mine, _among(logits, lesson), logits)
    return logits


def accuracies(
    logits: Float[Tensor, "items classes"],
    labels: Int[Tensor, " items"],
    lessons: Sequence[Sequence[int]],
    learnt: Sequence[int],
) -> list[float]:
    """The share of right answers on the examples of each lesson; NaN for one without examples.

    Args:
        logits, labels: of the examples.
        lessons: the classes of each.
        learnt: the classes that compete beside a lesson's own.

    Example:
        >>> logits = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 5.0, 0.0]])
        >>> labels = torch.tensor([1, 2])
        >>> accuracies(logits, labels, [[0, 1], [2, 3]], [])
        [1.0, 1.0]
        >>> accuracies(logits, labels, [[0, 1], [2, 3]], [0, 1, 2, 3])
        [0.0, 1.0]
    """
    found = []
    for lesson in lessons:
        own = torch.isin(labels, torch.tensor(lesson))
        said = _among(logits[own], sorted({*lesson, *learnt})).argmax(-1)
        found.append(float((said == labels[own]).double().mean()))
    return found


def _among(logits: Tensor, classes: Sequence[int]) -> Tensor:
    kept = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    kept[torch.tensor(list(classes), device=logits.device)] = True
    return logits.masked_fill(~kept, _NEVER)
