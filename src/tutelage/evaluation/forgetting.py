"""What a network that learns lessons one after another keeps of the earlier ones, and brings to the later."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["average_accuracy", "backward_transfer", "forgetting", "forward_transfer"]

Matrix = Float[Tensor, "lessons lessons"]
"""Row: a lesson. Column: after which stage; stage k learns lesson k."""


def average_accuracy(matrix: Matrix) -> float:
    """The mean accuracy over all lessons after the last stage (ACC), 0 … 1.

    Args:
        matrix: the accuracy on each lesson (row) after each stage (column), shape [lessons, lessons].

    Raises:
        ValueError: fewer than two lessons, or not as many stages.

    Source: Lopez-Paz & Ranzato, Gradient Episodic Memory for Continual Learning, 2017, equation 2; their R is
        this matrix transposed.

    Example:
        >>> average_accuracy(torch.tensor([[1.0, 0.5], [0.5, 0.75]]))
        0.625
    """
    return float(_checked(matrix)[:, -1].mean())


def backward_transfer(matrix: Matrix) -> float:
    """What later stages did to earlier lessons (BWT): accuracy at the end minus just after learning.

    Below 0 a network forgets; above, later lessons helped earlier ones.

    Args:
        matrix: as for `average_accuracy`.

    Returns:
        −1 … 1, the mean over all lessons but the last.

    Raises:
        ValueError: fewer than two lessons, or not as many stages.

    Source: Lopez-Paz & Ranzato 2017, equation 3.

    Example:
        >>> backward_transfer(torch.tensor([[1.0, 0.5], [0.5, 0.75]]))
        -0.5
    """
    held = _checked(matrix)
    return float((held[:-1, -1] - held.diagonal()[:-1]).mean())


def forgetting(matrix: Matrix) -> float:
    """Average forgetting (F): the best accuracy that a lesson had before the last stage, minus that after it.

    Unlike backward transfer it also counts what was won after a lesson's own stage and lost again.

    Args:
        matrix: as for `average_accuracy`.

    Returns:
        −1 … 1, the mean over all lessons but the last; below 0 where the last stage was the best for them.

    Raises:
        ValueError: fewer than two lessons, or not as many stages.

    Source: Chaudhry et al., Riemannian Walk for Incremental Learning, 2018, section 4.1. Differences: the
        best is that of a lesson's own stage and later ones; before it, nothing is there to be forgotten.

    Example:
        >>> forgetting(torch.tensor([[0.75, 1.0, 0.5], [0.5, 0.75, 0.5], [0.5, 0.5, 1.0]]))
        0.375
    """
    held = _checked(matrix)
    own = torch.ones_like(held, dtype=torch.bool).triu()
    best = held.masked_fill(~own, -torch.inf)[:-1, :-1].amax(1)
    return float((best - held[:-1, -1]).mean())


def forward_transfer(matrix: Matrix, fresh: Sequence[float]) -> float:
    """What earlier stages did for later lessons (FWT): accuracy before its stage minus that of fresh weights.

    Only where an example's lesson is given: among all classes one that was never learnt is not named.

    Args:
        matrix: as for `average_accuracy`.
        fresh: the accuracy on each lesson of the network with fresh weights.

    Returns:
        −1 … 1, the mean over all lessons but the first.

    Raises:
        ValueError: fewer than two lessons, not as many stages, or not as many fresh accuracies.

    Source: Lopez-Paz & Ranzato 2017, equation 4.

    Example:
        >>> forward_transfer(torch.tensor([[1.0, 0.5], [0.5, 0.75]]), [0.5, 0.25])
        0.25
    """
    held = _checked(matrix)
    if len(fresh) != len(held):
        raise ValueError(f"{len(fresh)} fresh accuracies came for {len(held)} lessons; give one for each")
    return float((held.diagonal(-1) - torch.tensor(fresh[1:], dtype=torch.float64)).mean())


def _checked(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(
            f"a matrix of shape {list(matrix.shape)} came; expected [lessons, stages], at least two lessons "
            "and one stage for each"
        )
    return matrix.double()
