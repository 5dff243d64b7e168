"""Losses whose target is a few classes for each item: a teacher's most probable ones, or a label.

The student's answers may be logits, or what they are computed from; either way those of some items at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.heads.chunks import Compare, mean_of_rows
from tutelage.losses.heads.compare import check_answers, unmasked
from tutelage.losses.heads.sides import Rows
from tutelage.losses.reduction import check_labels, check_mask, labelled, widen
from tutelage.types import HeadLogits, SparseLogits

__all__ = ["compare_labels", "compare_sparse", "toward_few", "toward_labels"]


def compare_sparse(
    student: Float[Tensor, "*items classes"] | HeadLogits,
    teacher: SparseLogits,
    *,
    temperature: float = 1.0,
    mask: Bool[Tensor, "*masked"] | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of the forward KL, from what is known of the teacher.

    With a tail all classes that are not known are one: Σ p (log p − log q) + t (log t − log r), where t is
    the teacher's probability of all others together and r the student's. Without, the classes that are known
    are a sample of all and their weights w an estimate: Σ w (log w − log q), whose gradient is unbiased.

    Args:
        student: logits, or what they are computed from.
        teacher: what is known; the classes of an item differ, where there are tails.
        temperature: divides the student's logits, and is one that something is known about.
        mask: true where an item counts; None when all of them do.
        chunk_size: how many items to hold at a time; None for as many as fit into some tens of megabytes.

    Shapes: student [*items, classes], mask the first axes of the items -> a scalar, in float32 or wider. It
    is 0, with a zero gradient, when no item counts.

    Raises:
        ValueError: shapes differ, nothing is known about the temperature, or the mask does not fit.

    Example:
        >>> kept, tails = torch.tensor([[0.5]]).log(), {1.0: torch.tensor([0.5]).log()}
        >>> teacher = SparseLogits(torch.tensor([[2]]), kept, 4, tails)
        >>> compare_sparse(torch.zeros(1, 4), teacher)  # ½ log(½ / ¼) + ½ log(½ / ¾)
        tensor(0.1438)
    """
    rows, count = unmasked(mask, check_answers(student, teacher))
    compare = toward_few(teacher, temperature)
    return mean_of_rows(student, compare, rows, count, temperature=temperature, chunk_size=chunk_size)


def toward_few(teacher: SparseLogits, temperature: float) -> Callable[..., tuple[Tensor, Tensor]]:
    """What compares rows of the student with the classes that are known of a teacher.

    The gradient is q s − t; beside another target it is weight · (q s − t) + extra · q.

    Raises:
        ValueError: nothing is known about the temperature.
    """
    scores, tail = teacher.at(temperature)
    classes, scores = (held.detach().flatten(0, -2) for held in (teacher.classes.long(), widen(scores)))
    tail = None if tail is None else widen(tail.detach()).flatten()

    def compare(
        log_probs: Tensor, some: Rows, *, weight: float = 1.0, extra: Tensor | float = 0.0
    ) -> tuple[Tensor, Tensor]:
        known = classes[some], scores[some].to(log_probs.dtype)
        if tail is None:
            return _sampled_(log_probs, *known, weight=weight, extra=extra)
        others = tail[some].to(log_probs.dtype)
        return _grouped_(log_probs, *known, others, weight=weight, extra=extra)

    return compare


def compare_labels(
    student: Float[Tensor, "*items classes"] | HeadLogits,
    labels: Integer[Tensor, "*items"],
    *,
    smoothing: float = 0.0,
    mask: Bool[Tensor, "*masked"] | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of the cross-entropy with labels; `UNLABELLED` ones add nothing to it.

    Args:
        student: logits, or what they are computed from.
        labels: class indices.
        smoothing: the share of the label's probability that is spread evenly over all classes.
        mask: true where an item counts; None when all of them do.
        chunk_size: how many items to hold at a time; None for as many as fit into some tens of megabytes.

    Shapes: student [*items, classes], labels [*items], mask the first axes of the items -> a scalar.

    Raises:
        ValueError: the labels are not integers, have another shape than the items, or the mask does not fit.

    Example:
        >>> compare_labels(torch.zeros(1, 4), torch.tensor([2]))  # log 4
        tensor(1.3863)
    """
    check_answers(student)
    check_labels(torch.zeros(()).expand(student.shape), labels)
    check_mask(mask, labels.shape)
    count = labels.numel() if mask is None else unmasked(mask, labels.shape)[1]
    rows = labelled(labels, mask).flatten().nonzero().squeeze(-1)
    return mean_of_rows(student, toward_labels(labels, smoothing), rows, count, chunk_size=chunk_size)


def toward_labels(labels: Integer[Tensor, "*items"], smoothing: float = 0.0) -> Compare:
    """What compares rows of the student, all of which have one, with labels."""
    flat = labels.flatten().long()

    def compare(log_probs: Tensor, some: Rows) -> tuple[Tensor, Tensor]:
        return _labelled_(log_probs, flat[some].unsqueeze(-1), smoothing)

    return compare


def _grouped_(
    student: Tensor,
    classes: Tensor,
    scores: Tensor,
    tail: Tensor,
    *,
    weight: float,
    extra: Tensor | float,
) -> tuple[Tensor, Tensor]:
    """KL over the known classes and all others as one; the gradient is q − p of these, shared out by q."""
    known = ~torch.isneginf(scores)
    logs = student.gather(-1, classes)
    away = torch.where(known, -torch.inf, torch.inf).to(student.dtype)
    others = student.scatter_reduce_(-1, classes, away, "amin")
    # Logarithms below their largest: of a very sure student the probability of the others is 0 in float32.
    most = others.amax(-1, keepdim=True)
    most = most.masked_fill_(torch.isneginf(most), 0)  # no others, or none that can be
    others = others.sub_(most).exp_()
    among = others.sum(-1, keepdim=True).clamp(min=torch.finfo(student.dtype).tiny)
    value = _gaps(scores, logs).sum(-1) + _gaps(tail, (most + among.log()).squeeze(-1))
    kept, ours = scores.exp(), torch.where(known, logs, -torch.inf).exp()
    left = tail.exp().unsqueeze(-1)
    total = weight * (kept.sum(-1, keepdim=True) + left) + extra  # of q; 1 but for rounding, without extra
    gradient = others.mul_(total * most.exp() - weight * left / among)
    return value, gradient.scatter_add_(-1, classes, ours * total - weight * kept)


def _sampled_(
    student: Tensor, classes: Tensor, scores: Tensor, *, weight: float, extra: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Σ w (log w − log q); the gradient is q Σ w − w."""
    weights = scores.exp()
    value = _gaps(scores, student.gather(-1, classes)).sum(-1)
    gradient = student.exp_().mul_(weight * weights.sum(-1, keepdim=True) + extra)
    return value, gradient.scatter_add_(-1, classes, -weight * weights)


def _labelled_(student: Tensor, labels: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy with smoothed labels; the gradient is q minus these."""
    even = smoothing / max(student.shape[-1], 1)
    value = -(1 - smoothing) * student.gather(-1, labels).squeeze(-1)
    if smoothing:
        value = value - even * student.sum(-1)
    gradient = student.exp_()
    if smoothing:
        gradient.sub_(even)
    return value, gradient.scatter_add_(-1, labels, gradient.new_full(labels.shape, smoothing - 1))


def _gaps(target: Tensor, other: Tensor) -> Tensor:
    """t (log t − log o), 0 where t is 0."""
    absent = torch.isneginf(target)
    return target.exp() * (target.masked_fill(absent, 0) - other.masked_fill(absent, 0))
