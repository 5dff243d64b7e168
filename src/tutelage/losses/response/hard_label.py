"""Labels: what a student learns without a teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.heads.sparse import compare_labels
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import (
    blank,
    check_labels,
    check_logits,
    check_mask,
    labelled,
    masked_mean,
    widen,
)
from tutelage.types import UNLABELLED, HeadLogits

__all__ = ["HardLabel"]


class HardLabel(Loss):
    """Hard labels: cross-entropy (CE) with class indices, optionally smoothed (LS).

    The student's own lesson, beside the teacher's; and alone, the control that each distillation has to beat.

    An item labelled `UNLABELLED` (−100) adds nothing and *stays in the denominator*, so that a weight means
    the same in each batch, however many labels it has, and micro-batches add up. torch's `ignore_index`
    leaves such items out of the denominator instead: with half of the items labelled its mean is twice as
    large. To leave an item out altogether, mask it.

    Args:
        smoothing: ε, the share of the label's probability that is spread evenly over all classes; at least
            0 and below 1.

    Shapes: student [items, classes] or [items, length, classes], labels [items] or [items, length], mask
    [items] or [items, length] -> a scalar, the mean over unmasked items in nats. Range 0 to infinity; without
    smoothing, zero where the student is sure of the label. With it a class at −inf has its share of the
    label, and makes the loss infinite.

    Raises:
        ValueError: the smoothing is out of range, the labels are not integers or have another shape than the
            items, or the mask does not fit. That labels are known classes is checked where data is read.

    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2016, section 7, for
    the smoothing. No differences.

    Example:
        >>> student = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
        >>> print(f"{HardLabel()(student, torch.tensor([1, UNLABELLED])).item():.4f}")  # log 2, over 2 items
        0.3466
    """

    place = "logits"
    reads_heads = True

    def __init__(self, *, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing came as {smoothing}; at least 0 and below 1 is expected")
        self.smoothing = smoothing

    def forward(
        self,
        student: Float[Tensor, "*items classes"] | HeadLogits,
        labels: Integer[Tensor, "*items"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the labels."""
        if isinstance(student, HeadLogits):
            return compare_labels(student, labels, smoothing=self.smoothing, mask=mask)
        check_logits(student)
        check_labels(student, labels)
        check_mask(mask, labels.shape)
        counts = labelled(labels, mask)
        (student,) = blank(counts, student)
        labels = torch.where(counts, labels, UNLABELLED).long()
        values = F.cross_entropy(
            widen(student).flatten(0, -2),
            labels.flatten(),
            ignore_index=UNLABELLED,
            label_smoothing=self.smoothing,
            reduction="none",
        )
        return masked_mean(values.reshape(labels.shape), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"smoothing={self.smoothing}"
