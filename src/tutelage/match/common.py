"""Two vocabularies of which one is filled up further: the classes that both have."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from tutelage.types import HeadLogits, Outputs, SparseLogits

__all__ = ["in_common"]


def in_common(own: Outputs, teacher: Outputs | None, known: int | None) -> tuple[Outputs, Outputs | None]:
    """Student's and teacher's answers about as many classes as the narrower one has.

    Language models of one family have one tokenizer and embeddings of other sizes, filled up to a round
    number with rows that stand for nothing. Where both know the classes that stand for something, what the
    wider one has beyond the other is left out.

    Args:
        own: the student's answer.
        teacher: the teacher's.
        known: how many classes stand for something, from 0; None where that is not known, and nothing is cut.

    Example:
        >>> import torch
        >>> own, teacher = Outputs(torch.zeros(2, 6)), Outputs(torch.zeros(2, 8))
        >>> [each.logits.shape[-1] for each in in_common(own, teacher, 5)]
        [6, 6]
    """
    ours, theirs = _width(own), None if teacher is None else _width(teacher)
    if teacher is None or known is None or ours is None or theirs is None or ours == theirs:
        return own, teacher
    width = min(ours, theirs)
    if width < known:
        return own, teacher
    return _cut(own, width), _cut(teacher, width)


def _width(outputs: Outputs) -> int | None:
    for held in (outputs.logits, outputs.head, outputs.sparse):
        if held is not None:
            return int(held.shape[-1])
    return None


def _cut(outputs: Outputs, width: int) -> Outputs:
    """The same about the first classes alone."""
    head, sparse = outputs.head, outputs.sparse
    return replace(
        outputs,
        logits=None if outputs.logits is None else outputs.logits[..., :width],
        head=None if head is None else _cut_head(head, width),
        sparse=None if sparse is None else _cut_sparse(sparse, width),
    )


def _cut_head(head: HeadLogits, width: int) -> HeadLogits:
    bias: Tensor | None = None if head.bias is None else head.bias[:width]
    return replace(head, weight=head.weight[:width], bias=bias)


def _cut_sparse(sparse: SparseLogits, width: int) -> SparseLogits:
    """What stands beyond is padding, which no teacher finds likely."""
    beyond = sparse.classes >= width
    return replace(
        sparse,
        classes=sparse.classes.masked_fill(beyond, 0),
        scores=sparse.scores.masked_fill(beyond, float("-inf")),
        num_classes=min(width, sparse.num_classes),
    )
