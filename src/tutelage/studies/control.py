"""The control: the student's walk with the teacher's terms taken out, and nothing else changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tutelage.balancing import Fixed, Share
from tutelage.data import Source, Subset
from tutelage.match import Match
from tutelage.types import UNLABELLED

__all__ = ["labelled_part", "without_teacher"]


def without_teacher(matches: Sequence[Match], alone: Callable[[], list[Match]]) -> list[Match]:
    """The terms of a student that need no teacher; what a student of the field learns by where none is left.

    Each keeps its settings. Where the weights of those that are left add up to less than 1, the weight that
    the teacher's terms had goes to them, in their proportions: a label that counts a tenth beside a teacher
    would else train the control at a tenth of the learning rate.

    Args:
        matches: the student's, fresh ones.
        alone: what a student learns by that nobody teaches.

    Example:
        >>> from tutelage.losses import response
        >>> soft, hard = Match(response.SoftTarget(), weight=0.9), Match(response.HardLabel(), weight=0.1)
        >>> [kept.weight.now for kept in without_teacher([soft, hard], list)]
        [1.0]
    """
    kept = [match for match in matches if not match.needs_teacher]
    if not kept:
        return alone()
    for match in kept:
        if isinstance(match.weight, Share):
            match.weight = Fixed(1.0)  # of a whole that is gone
    total = sum(match.weight.now for match in kept if isinstance(match.weight, Fixed))
    if 0 < total < 1:
        for match in kept:
            if isinstance(match.weight, Fixed):
                match.weight = Fixed(match.weight.now / total)
    return kept


def labelled_part(source: Source) -> Source:
    """The examples with a label, so that each of the control's batches is full of them."""
    labels = source.labels
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        return source
    known = labels != UNLABELLED
    if bool(known.all()) or not bool(known.any()):
        return source
    return Subset(
        source, known.nonzero().squeeze(-1).tolist(), where="the labelled part of the training data"
    )
