"""Labels where classes do not exclude one another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Shaped
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, check_same_shape, masked_mean, widen
from tutelage.types import UNLABELLED

__all__ = ["BinaryLabel"]


class BinaryLabel(Loss):
    """Binary labels (multi-label): cross-entropy of a sigmoid for each class, summed over classes.

    Tags of a picture, several findings in one scan, or one question of yes and no with a single logit. What a
    `HardLabel` is for classes that exclude one another, this is for those that do not.

    Shapes: student and labels [items, classes] or [items, length, classes], labels from 0 to 1, `UNLABELLED`
    (−100) or NaN for an answer that is not known, which adds nothing; mask [items] or [items, length] -> a
    scalar, the mean over unmasked items of the sum over classes, in nats. Range 0 to infinity.

    Raises:
        ValueError: labels outside 0 … 1, shapes differ, or the mask does not fit.

    Source: the log-likelihood of independent Bernoulli answers; Read et al., Classifier chains for
    multi-label classification, 2011, section 2, call it binary relevance. No differences.

    Example:
        >>> import math
        >>> student, labels = torch.zeros(1, 2), torch.tensor([[1, UNLABELLED]])
        >>> print(f"{BinaryLabel()(student, labels).item() / math.log(2):.4f}")  # one known answer
        1.0000
    """

    place = "logits"
    targets = "several"

    def forward(
        self,
        student: Shaped[Tensor, "*items classes"],
        labels: Shaped[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Tensor:
        """Compare the student's yes and no with the labels."""
        check_logits(student)
        check_same_shape(student, labels, advice="pass one label for each class of each item")
        check_mask(mask, student.shape[:-1])
        student, labels = (widen(held) for held in blank(mask, student, labels))
        known = (labels != UNLABELLED) & ~labels.isnan()
        labels = torch.where(known, labels, 0)
        if not torch.compiler.is_compiling() and bool(((labels < 0) | (labels > 1)).any()):
            raise ValueError("labels came outside 0 to 1; expected 0 for no, 1 for yes, or a share between")
        student, labels = torch.where(known, student, 0), labels.to(student)
        yes = torch.where(labels > 0, -labels * F.logsigmoid(student), 0)  # no 0 · infinity
        no = torch.where(labels < 1, (labels - 1) * F.logsigmoid(-student), 0)
        return masked_mean(torch.where(known, yes + no, 0).sum(-1), mask)
