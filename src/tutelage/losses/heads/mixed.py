"""A teacher's answers and labels together, so that the student's logits are computed once for both."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.heads.chunks import Compare, Part, mean_of_parts
from tutelage.losses.heads.compare import check_answers, toward_teacher, unmasked
from tutelage.losses.heads.sides import Rows
from tutelage.losses.heads.slopes import forward_kl_
from tutelage.losses.heads.sparse import toward_few
from tutelage.losses.reduction import check_labels, labelled
from tutelage.types import HeadLogits, SparseLogits

__all__ = ["compare_mixed"]

Soft = Callable[..., tuple[Tensor, Tensor]]
"""A `Compare` that also takes `weight` and `extra`: its gradient is then weight times that, and extra · q."""


def compare_mixed(
    student: Float[Tensor, "*items classes"] | HeadLogits,
    teacher: Float[Tensor, "*items classes"] | HeadLogits | SparseLogits,
    labels: Integer[Tensor, "*items"],
    *,
    label_share: float,
    temperature: float = 1.0,
    mask: Bool[Tensor, "*masked"] | None = None,
    chunk_size: int | None = None,
) -> Float[Tensor, ""]:
    """Mean over the unmasked items of share · cross-entropy + (1 − share) · T² · KL(teacher ‖ student).

    Args:
        student: logits, or what they are computed from.
        teacher: likewise, or what is known of them.
        labels: class indices; `UNLABELLED` ones add nothing to the cross-entropy.
        label_share: the share of the cross-entropy, from 0 to 1.
        temperature: T, divides the logits of both in the KL; in the cross-entropy it is 1.
        mask: true where an item counts; None when all of them do.
        chunk_size: how many items to hold at a time; None for as many as fit into some tens of megabytes.

    Shapes: student and teacher [*items, classes], labels [*items], mask the first axes of the items -> a
    scalar, in float32 or wider. It is 0, with a zero gradient, when no item counts.

    Raises:
        ValueError: shapes differ, the labels are not integers, nothing is known about the temperature, or the
            mask does not fit.

    Example:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[0.8, 0.2]]).log()
        >>> compare_mixed(student, teacher, torch.tensor([1]), label_share=0.5)  # ½ · 0.6931 + ½ · 0.1927
        tensor(0.4429)
    """
    rows, count = unmasked(mask, check_answers(student, teacher))
    check_labels(torch.zeros(()).expand(student.shape), labels)
    if isinstance(teacher, SparseLogits):
        soft = toward_few(teacher, temperature)
    else:
        soft = toward_teacher(teacher, forward_kl_, temperature)
    parts = _parts(soft, labels, label_share, temperature)
    return mean_of_parts(student, parts, rows, count, chunk_size=chunk_size)


def _parts(soft: Soft, labels: Tensor, share: float, temperature: float) -> list[Part]:
    """One part where one softmax serves both, or where one of them has the whole share; else two."""
    if share == 0:
        return [Part(soft, temperature, temperature**2)]
    if share < 1 and temperature == 1:
        return [Part(_beside_labels(soft, labels, share))]
    hard = Part(_beside_labels(_nothing, labels, 1.0), factor=share)
    return [hard] if share == 1 else [hard, Part(soft, temperature, (1 - share) * temperature**2)]


def _beside_labels(soft: Soft, labels: Tensor, share: float) -> Compare:
    """Both from the same log-probabilities: the gradient of either is q less its target."""
    has_label = labelled(labels, None).flatten()
    classes = torch.where(has_label, labels.flatten(), 0).long().unsqueeze(-1)

    def compare(log_probs: Tensor, some: Rows) -> tuple[Tensor, Tensor]:
        label, counts = classes[some], has_label[some]
        hard = torch.where(counts, -log_probs.gather(-1, label).squeeze(-1), 0)
        extra = share * counts.to(log_probs.dtype).unsqueeze(-1)
        values, gradient = soft(log_probs, some, weight=1 - share, extra=extra)
        gradient.scatter_add_(-1, label, -extra.to(gradient.dtype))
        return (1 - share) * values + share * hard, gradient

    return compare


def _nothing(log_probs: Tensor, some: Rows, *, weight: float, extra: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """In place of a teacher: no value, and no gradient but extra · q."""
    return log_probs.new_zeros(len(log_probs)), log_probs.exp_().mul_(extra)
