"""Soft targets and labels in one loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.heads.mixed import compare_mixed
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import (
    blank,
    check_labels,
    check_logits,
    check_mask,
    in_chunks,
    labelled,
    masked_mean,
    spread,
)
from tutelage.losses.softened import check_chunk_size, check_temperature, soften
from tutelage.types import HeadLogits, SparseLogits

__all__ = ["MixedTarget"]


class MixedTarget(Loss):
    """Soft targets beside labels (KD + CE): a weighted mean of both, from one pass over the student's head.

    It equals `HardLabel` times its share plus `SoftTarget` times the rest. Where logits are not computed yet,
    two losses would each multiply the student's hidden states by its head, there and back; here both read
    the same logits. At temperature 1 they read the same softmax too.

    An item labelled `UNLABELLED` (−100) adds nothing to the part on labels and stays in the denominator; its
    soft part counts. An item that the teacher does not answer is masked, and its label with it.

    Args:
        temperature: T, divides the logits of both in the soft part; above 0, without a unit. The part on
            labels is taken at 1.
        label_share: what the cross-entropy with the labels is multiplied by, from 0 to 1; the soft part gets
            the rest.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once,
            and of `HeadLogits` for as many as fit into some tens of megabytes.

    Shapes: student and teacher [items, classes] or [items, length, classes], labels [items] or
    [items, length], mask [items] or [items, length] -> a scalar, the mean over unmasked items of
    share · CE + (1 − share) · T² · KL(teacher ‖ student) in nats. Range 0 to infinity; zero where student and
    teacher are both sure of the label. It is not least where the logits are equal.

    Raises:
        ValueError: the temperature, the share or the chunk size is out of range, shapes differ, labels are
            not integers, or the mask does not fit.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015, section 2: a weighted
    average of two objectives, the second at temperature 1. Differences: KL instead of the soft cross-entropy
    (equal gradients); the two weights sum to 1, and the factor T² is part of the loss.

    Example:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[4.0, 0.0]])
        >>> loss = MixedTarget(temperature=2.0, label_share=0.25)
        >>> print(f"{loss(student, teacher, torch.tensor([0])).item():.4f}")  # ¼ · 0.6931 + ¾ · 4 · 0.3278
        1.1567
    """

    place = "logits"
    least_at_teacher = False
    reads_heads = True
    reads_sparse = True

    def __init__(
        self, *, temperature: float = 4.0, label_share: float = 0.5, chunk_size: int | None = None
    ) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)
        if not 0 <= label_share <= 1:
            raise ValueError(f"label_share came as {label_share}; a number from 0 to 1 is expected")
        self.label_share = label_share
        self.chunk_size = check_chunk_size(chunk_size)

    def forward(
        self,
        student: Float[Tensor, "*items classes"] | HeadLogits,
        teacher: Float[Tensor, "*items classes"] | HeadLogits | SparseLogits,
        labels: Integer[Tensor, "*items"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the labels, and softened with the teacher's."""
        if isinstance(student, Tensor) and isinstance(teacher, Tensor):
            return self._compare(student, teacher, labels, mask)
        return compare_mixed(
            student,
            teacher,
            labels,
            label_share=self.label_share,
            temperature=self.temperature,
            mask=mask,
            chunk_size=self.chunk_size,
        )

    def _compare(self, student: Tensor, teacher: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        """The mean, of logits that are there."""
        check_logits(student, teacher)
        check_labels(student, labels)
        check_mask(mask, labels.shape)
        rows = student.flatten(0, -2), teacher.detach().flatten(0, -2), labels.flatten()
        row_mask = None if mask is None else spread(mask, labels.shape).flatten()
        values = in_chunks(self._compare_rows, *rows, row_mask, size=self.chunk_size)
        return masked_mean(values.reshape(labels.shape), mask)

    def _compare_rows(self, student: Tensor, teacher: Tensor, labels: Tensor, mask: Tensor | None) -> Tensor:
        student, teacher = blank(mask, student, teacher)
        at, share = self.temperature, self.label_share
        plain = soften(student, 1)
        softened = plain if at == 1 else soften(student, at)
        hard = share * _cross_entropy(plain, labels, labelled(labels, mask))
        soft = (1 - share) * at**2 * forward_kl(softened, soften(teacher, at))
        return hard if share == 1 else soft if share == 0 else hard + soft

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        chunks = "" if self.chunk_size is None else f", chunk_size={self.chunk_size}"
        return f"temperature={self.temperature}, label_share={self.label_share}{chunks}"


def _cross_entropy(log_probs: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Of each row, 0 where its label does not count."""
    label = torch.where(counts, labels, 0).long().unsqueeze(-1)
    return torch.where(counts, -log_probs.gather(-1, label).squeeze(-1), 0)
