"""The teacher's decision as a label."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean, widen

__all__ = ["HardTeacher"]


class HardTeacher(Loss):
    """Hard distillation (DeiT): cross-entropy with the teacher's most likely class.

    Without a temperature to choose, and right where augmentation has changed what a picture shows: the
    teacher labels what it sees. A student with a distillation token learns it there, and labels elsewhere:
    name the token's logits as the guided layer.

    Args:
        smoothing: ε, the share of the label's probability that is spread evenly over all classes; at least
            0 and below 1.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items in nats. Range 0 to infinity; without smoothing,
    zero where the student is sure of the teacher's class. It is not least where the logits are equal. With
    smoothing a class at −inf has its share of the target, and makes the loss infinite.

    Raises:
        ValueError: the smoothing is out of range, shapes differ, or the mask does not fit.

    Source: Touvron et al., Training Data-Efficient Image Transformers & Distillation through Attention, 2021,
    equation 3, its second term; the ½ and the term on labels are weights of matches.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[0.1, 0.2]])
        >>> print(f"{HardTeacher()(student, teacher).item():.4f}")
        0.6931
    """

    place = "logits"
    least_at_teacher = False

    def __init__(self, *, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing came as {smoothing}; at least 0 and below 1 is expected")
        self.smoothing = smoothing

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the teacher's decisions."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        decided = teacher.argmax(-1)
        values = F.cross_entropy(
            widen(student).flatten(0, -2), decided.flatten(), label_smoothing=self.smoothing, reduction="none"
        )
        return masked_mean(values.reshape(decided.shape), mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"smoothing={self.smoothing}"
