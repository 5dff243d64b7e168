"""Soft targets of which some items count more than others."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_labels, check_logits, check_mask, masked_mean, spread
from tutelage.losses.softened import check_temperature, soften
from tutelage.types import UNLABELLED

__all__ = ["WeighedSoftTarget"]

_WAYS = ("entropy", "right", "gap")


class WeighedSoftTarget(Loss):
    """Soft targets weighed item by item (token weighting): by the teacher's doubt, its being right, or a gap.

    Most tokens of a text are easy, and student and teacher agree on them. `entropy` counts an item by how
    unsure the teacher is, where its answer says more than a label; `right`, by the probability that it gives
    the label; `gap`, by how much better than the student it knows the label.

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        by: "entropy", of the teacher as a part of that of equal probabilities; "right", p(label), and 1 for
            an item without a label; "gap", log p(label) − log q(label) where it is above 0 (in nats), else 0,
            and 0 without a label. The weight of an item carries no gradient.

    Shapes: student and teacher [items, classes] or [items, length, classes], labels [items] or
    [items, length] of class indices, mask likewise -> a scalar, the mean over unmasked items of
    T² · w · KL(teacher ‖ student) in nats: weights are not normalised, so that micro-batches add up. Range 0
    to infinity; zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature or `by` is none of these, shapes differ, or labels or mask do not fit.

    Source: "gap": Lin et al., Rho-1: Not All Tokens Are What You Need, 2024, equation 3, the excess loss, as
    a weight in place of a choice; "entropy" and "right": Xu et al., A Survey on Knowledge Distillation of
    Large Language Models, 2024, section 3.2. Differences: soft targets are what is weighed; a temperature.

    Example:
        >>> teacher, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0])
        >>> loss = WeighedSoftTarget(by="right")
        >>> print(f"{loss(torch.zeros(2, 2), teacher, labels).item():.4f}")
        0.1444
    """

    place = "logits"

    def __init__(
        self, *, temperature: float = 1.0, by: Literal["entropy", "right", "gap"] = "entropy"
    ) -> None:
        super().__init__()
        if by not in _WAYS:
            raise ValueError(f"by came as {by!r}; one of {', '.join(_WAYS)} is expected")
        self.temperature, self.by = check_temperature(temperature), by

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        labels: Integer[Tensor, "*items"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Weigh the divergence of each item."""
        check_logits(student, teacher)
        items = student.shape[:-1]
        check_mask(mask, items)
        rows = None if mask is None else spread(mask, items)
        if rows is not None and labels.shape == items:
            labels = labels.masked_fill(~rows, UNLABELLED)
        check_labels(student, labels)
        student, teacher = blank(rows, student, teacher.detach())
        ours, theirs = soften(student, self.temperature), soften(teacher, self.temperature)
        weights = self._weights(soften(student.detach(), 1.0), soften(teacher, 1.0), labels)
        return masked_mean(weights * forward_kl(ours, theirs), mask) * self.temperature**2

    def _weights(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        if self.by == "entropy":
            entropy = -(teacher.exp() * teacher.masked_fill(torch.isneginf(teacher), 0)).sum(-1)
            return entropy / max(float(torch.tensor(float(teacher.shape[-1])).log()), 1e-9)
        known = labels != UNLABELLED
        at = labels.masked_fill(~known, 0).unsqueeze(-1)
        theirs, ours = teacher.gather(-1, at).squeeze(-1), student.gather(-1, at).squeeze(-1)
        if self.by == "right":
            return theirs.exp().masked_fill(~known, 1)
        return (theirs - ours).clamp(min=0).masked_fill(~known, 0)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}, by={self.by!r}"
