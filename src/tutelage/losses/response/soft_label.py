"""Labels that are shares of classes: mixed images, several annotators."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, check_same_shape, masked_mean, widen

__all__ = ["SoftLabel"]


class SoftLabel(Loss):
    """Soft labels: cross-entropy (CE) with a share for each class, as mixup, cutmix and annotators give them.

    Where a label is one class for sure it is `HardLabel`. It differs from a `SoftTarget` with the same
    distribution by the entropy of the labels, which no student can change.

    Shapes: student and labels [items, classes] or [items, length, classes], the labels' shares at least 0
    with sum 1 (an item whose shares are all 0 adds nothing); mask [items] or [items, length] -> a scalar, the
    mean over unmasked items in nats. Range 0 to infinity; least where the softmax equals the shares.

    Raises:
        ValueError: shapes differ, or the mask does not fit.

    Source: Zhang et al., mixup: Beyond Empirical Risk Minimization, 2018, section 2. No differences.

    Example:
        >>> import torch
        >>> student, labels = torch.zeros(1, 2), torch.tensor([[0.3, 0.7]])
        >>> print(f"{SoftLabel()(student, labels).item():.4f}")  # log 2, whatever the shares
        0.6931
    """

    place = "logits"
    targets = "shares"

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        labels: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the shares."""
        check_logits(student)
        check_same_shape(student, labels, advice="pass one share for each class of each item")
        check_mask(mask, student.shape[:-1])
        student, labels = (widen(held) for held in blank(mask, student, labels))
        log_probs = student.log_softmax(-1)
        log_probs = log_probs.masked_fill(labels == 0, 0)  # a class that has no share may be impossible
        return masked_mean(-(labels.to(log_probs) * log_probs).sum(-1), mask)
