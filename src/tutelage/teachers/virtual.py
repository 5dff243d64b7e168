"""A teacher that nobody trained."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Virtual"]


class Virtual(Teacher):
    """Virtual teacher (Tf-KD): almost sure of the label, and of one mind about all other classes.

    What a soft target gives beyond its knowledge of classes is a softer label; this teacher gives that alone,
    and shows how much of a gain is due to it. At temperature 1 it is label smoothing by
    (1 − correct) · classes / (classes − 1).

    Args:
        num_classes: how many there are, 2 or more.
        correct: its probability of the label, between 1 / num_classes and 1.

    Shapes:
        batch: labels [N] or [N, length].
        returns: logits [N, num_classes] or [N, length, num_classes], the logarithms of its probabilities,
            and a mask that is false where there is no label.

    Raises:
        ValueError: a number of classes or a probability out of range.
        ModelError: a batch without labels, when called.

    Source:
        Yuan et al. 2020, "Revisiting Knowledge Distillation via Label Smoothing Regularization", equation 9;
        theirs is 0.9 and more sure, used at a temperature of 20 and above. No differences.

    Example:
        >>> batch = Batch(inputs=None, ids=torch.arange(1), labels=torch.tensor([1]))
        >>> [round(p, 4) for p in Virtual(num_classes=3, correct=0.9)(batch).logits.exp()[0].tolist()]
        [0.05, 0.9, 0.05]
    """

    reads_labels: ClassVar[bool] = True

    def __init__(self, *, num_classes: int, correct: float = 0.9) -> None:
        super().__init__()
        if num_classes < 2 or not 1 / num_classes < correct < 1:
            raise ValueError(
                f"a virtual teacher came with {num_classes} classes and a probability of {correct}; 2 "
                "classes or more are expected, and a probability above that of guessing and below 1"
            )
        self.num_classes, self.correct = num_classes, correct

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch by its labels."""
        if batch.labels is None:
            raise ModelError("a virtual teacher answers by the labels, and the batch has none")
        if batch.labels.is_floating_point():
            return self._by_shares(batch.labels)
        has_label = (batch.labels >= 0) & (batch.labels < self.num_classes)
        label = torch.where(has_label, batch.labels, 0).unsqueeze(-1)
        other = math.log((1 - self.correct) / (self.num_classes - 1))
        logits = torch.full((*batch.labels.shape, self.num_classes), other, device=batch.labels.device)
        return Outputs(logits.scatter(-1, label, math.log(self.correct)), mask=has_label)

    def _by_shares(self, labels: Tensor) -> Outputs:
        """A share for each class, [N, C]: as sure of a share of one as of a class."""
        known = labels.isfinite().all(-1)
        shares = torch.where(known[..., None], labels, 1 / self.num_classes).float()
        least = (1 - self.correct) / (self.num_classes - 1)
        mixed = (self.correct - least) * shares + least
        return Outputs(mixed.log(), mask=known)
