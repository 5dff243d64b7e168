"""A term that is about some classes alone: their logits, and labels that count within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.types import UNLABELLED, HeadLogits, SparseLogits

__all__ = ["check_classes", "labels_among", "only"]


def check_classes(classes: Sequence[int] | None, kind: str, *, compares_logits: bool) -> tuple[int, ...]:
    """The classes of a term, in order; none where it is about all of them.

    Raises:
        ModelError: fewer than two, one of them twice or below 0, or a term about features.
    """
    if classes is None:
        return ()
    held = tuple(classes)
    if len(held) < 2 or len(set(held)) < len(held) or min(held) < 0:
        raise ModelError(
            f"{kind}: classes came as {list(held)}; at least two different ones, numbered from 0, are "
            "expected"
        )
    if not compares_logits:
        raise ModelError(f"{kind} looks at layers, and classes are those of logits; leave classes= out")
    return held


def only(value: Tensor | HeadLogits | SparseLogits, classes: Sequence[int], term: str) -> Tensor | HeadLogits:
    """The logits of these classes, in this order; computed or not.

    Args:
        value: logits of all classes, [*items, all].
        classes: which ones.
        term: what to call the term in messages.

    Returns:
        [*items, classes].

    Raises:
        ModelError: there is no such class, or few of the logits are known.

    Example:
        >>> only(torch.tensor([[5.0, 6.0, 7.0]]), [2, 0], "SoftTarget")
        tensor([[7., 5.]])
    """
    if isinstance(value, SparseLogits):
        raise ModelError(
            f"{term} is about the classes {list(classes)}, and few of the teacher's logits are known; leave "
            "classes= out, or use a teacher that gives all"
        )
    width = value.shape[-1]
    if max(classes) >= width:
        raise ModelError(
            f"{term} is about the classes {list(classes)}, and there are {width}, from 0; name others"
        )
    if isinstance(value, HeadLogits):
        index = torch.tensor(classes, device=value.weight.device)
        bias = None if value.bias is None else value.bias[index]
        return replace(value, weight=value.weight[index], bias=bias)
    return value.index_select(-1, torch.tensor(classes, device=value.device))


def labels_among(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """Each label as its place among these classes; `UNLABELLED` where it is none of them.

    Example:
        >>> labels_among(torch.tensor([2, 0, 1]), [2, 0])
        tensor([   0,    1, -100])
    """
    found = torch.full_like(labels, UNLABELLED)
    for place, each in enumerate(classes):
        found = torch.where(labels == each, place, found)
    return found
