"""Parts of a data set, drawn by a seed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tutelage.errors import DataError

__all__ = ["fraction_of", "split"]


def split(
    count: int, part: float | int, *, labels: Tensor | None = None, seed: int = 0, name: str = "validation"
) -> tuple[list[int], list[int]]:
    """Numbers 0 … count − 1 as (the rest, the part), stratified by class where labels are given.

    Args:
        count: how many there are.
        part: a share below 1 (a float), or a number of examples (an int).
        labels: class indices, shape [count], or None. Targets that are no classes are not stratified.
        seed: the draw.
        name: what to call the part in messages.

    Raises:
        DataError: the part, or the rest, would be empty.
    """
    size = round(part * count) if isinstance(part, float) else part
    if not 0 < size < count:
        raise DataError(
            f"a {name} split of {part!r} takes {size} of {count} examples; both parts need at least one. "
            "Give a larger share below 1, or a whole number of examples"
        )
    generator = np.random.default_rng(seed)
    if labels is None or labels.is_floating_point() or labels.ndim != 1:
        order = generator.permutation(count)
        return sorted(order[size:].tolist()), sorted(order[:size].tolist())
    chosen = _stratified(labels.numpy(), size, generator)
    rest = np.setdiff1d(np.arange(count), chosen)
    return rest.tolist(), sorted(chosen.tolist())


def fraction_of(labels: Tensor, part: float | int, *, seed: int = 0) -> list[int]:
    """The numbers of a stratified part of a labelled set."""
    return split(len(labels), part, labels=torch.as_tensor(labels), seed=seed, name="fraction")[1]


def _stratified(labels: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Largest-remainder shares of each class, `size` in all; classes of equal remainders draw lots."""
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / len(labels))
    take = np.floor(exact).astype(int)
    lots = generator.permutation(len(classes))
    take[lots[np.argsort((take - exact)[lots], kind="stable")[: size - take.sum()]]] += 1
    picks = [
        generator.permutation(np.flatnonzero(labels == kind))[:n]
        for kind, n in zip(classes, take, strict=True)
    ]
    return np.concatenate(picks)
