"""The examples on which two outcomes part."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["flips"]


def flips(of: Tensor, against: Tensor, ids: Tensor) -> dict[str, Any] | None:
    """Which examples one outcome gets right and the other wrong, on more than half of the seeds each.

    Args:
        of, against: 1 for right and 0 for wrong.
        ids: of the examples.

    Shapes: of and against [seeds, examples], the same seed in the same row; ids [examples].

    Returns:
        `right`: ids that only the first gets right; `wrong`: that only the second does; `both` and `neither`:
        how many both get right or wrong; `undecided`: how many where half of the seeds are right. None
        where scores are not right or wrong.

    Example:
        >>> import torch
        >>> flips(torch.tensor([[1, 1, 0]]), torch.tensor([[0, 1, 0]]), torch.tensor([7, 8, 9]))
        {'right': [7], 'wrong': [], 'both': 1, 'neither': 1, 'undecided': 0}
    """
    if any(bool(((each != 0) & (each != 1)).any()) for each in (of, against)):
        return None
    ours, theirs = of.double().mean(0), against.double().mean(0)
    right, wrong = (ours > 0.5) & (theirs < 0.5), (ours < 0.5) & (theirs > 0.5)
    both, neither = (ours > 0.5) & (theirs > 0.5), (ours < 0.5) & (theirs < 0.5)
    counted = int(both.sum()), int(neither.sum())
    return {
        "right": ids[right].tolist(),
        "wrong": ids[wrong].tolist(),
        "both": counted[0],
        "neither": counted[1],
        "undecided": len(ids) - int(right.sum()) - int(wrong.sum()) - sum(counted),
    }
