"""Regression on logits: the mimic learning of Ba and Caruana."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, widen

__all__ = ["LogitMatch"]


class LogitMatch(Loss):
    """Logit matching (mimic learning, L2 on logits): ½ ‖z − v‖² per item.

    Before the softmax no information is squeezed into tiny probabilities, and no temperature needs to be
    chosen. It is what soft targets tend to at a high temperature, up to a factor and to a constant in each
    item's logits, which this loss matches too.

    Shapes: student z and teacher v [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of half the sum over classes, in squared logits.
    Range 0 to infinity; zero where the logits are equal. A class at −inf for both adds nothing; one that is
    there for one of them alone makes the loss infinite.

    Raises:
        ValueError: shapes differ, or the mask does not fit.

    Source: Ba & Caruana, Do Deep Nets Really Need to be Deep?, 2014, equation 1. No differences; a
    normalisation of the teacher's logits over the training set is left to the caller.

    Example:
        >>> import torch
        >>> LogitMatch()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()
        2.0
    """

    place = "logits"

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's logits with the teacher's."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        absent = torch.isneginf(student) & torch.isneginf(teacher)
        student, teacher = (widen(logits).masked_fill(absent, 0) for logits in (student, teacher))
        return masked_mean((student - teacher).square().sum(-1) / 2, mask)
