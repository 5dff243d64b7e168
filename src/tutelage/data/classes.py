"""The part of some data that a stage learns: some classes, and a few examples of others beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.data.random import uniform
from tutelage.data.sources import Source, Subset
from tutelage.errors import DataError

__all__ = ["of_classes"]


def of_classes(
    source: Source, classes: Sequence[int], *, memory: Sequence[int] = (), per_class: int = 1, seed: int = 0
) -> Subset:
    """All examples of some classes and, as a rehearsal memory, a few of each of some others.

    Which examples are remembered depends on their ids and the seed alone; with a larger memory the ones of
    the smaller stay. An epoch shows each of them once, as it does the new ones.

    Args:
        source: the data, whose labels are known.
        classes: whose examples are all there.
        memory: whose examples are remembered.
        per_class: how many of each of these; all of a class that has fewer.
        seed: of the draw.

    Raises:
        DataError: labels that are not known or no classes, a class without an example, or one that is new
            and remembered.

    Source: Rebuffi et al., iCaRL: Incremental Classifier and Representation Learning, 2017, section 2, for
        training on new classes together with exemplars of each old one. Differences: exemplars are drawn at
        random, not by herding; their number for each class stays, and the whole memory grows.

    Example:
        >>> from tutelage.data import Examples
        >>> labels = torch.tensor([0, 0, 0, 1, 1, 2])
        >>> part = of_classes(Examples(torch.zeros(6, 1), labels), [1, 2], memory=[0], per_class=1)
        >>> part.labels.sort().values
        tensor([0, 1, 1, 2])
    """
    labels = source.labels
    if labels is None or labels.ndim != 1 or labels.is_floating_point():
        raise DataError(f"classes {list(classes)}: needs data whose labels are known and are classes")
    both = sorted(set(classes) & set(memory))
    if both:
        raise DataError(f"the classes {both} are a stage's own and in its memory; name each in one of them")
    own = [_members(labels, each) for each in classes]
    remembered = [_drawn(source, _members(labels, each), per_class, seed) for each in memory]
    return Subset(source, torch.cat([*own, *remembered]).sort().values.tolist())


def _members(labels: Tensor, kind: int) -> Tensor:
    found = (labels == kind).nonzero().squeeze(-1)
    if len(found) == 0:
        known = sorted(set(labels[labels >= 0].tolist()))
        raise DataError(f"no training example has the class {kind}; there are {known}")
    return found


def _drawn(source: Source, members: Tensor, count: int, seed: int) -> Tensor:
    ids = source.batch(members.tolist()).ids
    return members[uniform(ids, seed=seed, draw="memory").argsort(stable=True)[:count]]
