"""A temperature for the teacher alone."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.divergences import forward_kl
from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_logits, check_mask, masked_mean
from tutelage.losses.softened import check_temperature, soften

__all__ = ["TransformedTeacher"]


class TransformedTeacher(Loss):
    """Transformed teacher matching (TTM, WTTM): KL from the softened teacher to the student as it is.

    Without a temperature on the student, a Rényi entropy of the student's answer appears in what is
    minimised: it is kept from being too sure. Weighted (WTTM), items about which the teacher is unsure count
    for more.

    Args:
        temperature: T, divides the teacher's logits; above 0, without a unit.
        weighted: multiply each item by the power sum of the teacher's probabilities, Σ p^(1/T).

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items in nats. Range 0 to infinity; zero where the
    student's softmax is the teacher's at the temperature, so not where the logits are equal (but at T = 1).

    Raises:
        ValueError: the temperature is out of range, shapes differ, or the mask does not fit.

    Source: Zheng & Yang, Knowledge Distillation Based on Transformed Teacher Matching, 2024, equations 12
    (TTM) and 21 (WTTM). No differences; their weight on CIFAR-100 lies between 1 and 70, T between 2 and 8.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[4.0, 0.0]])
        >>> print(f"{TransformedTeacher(temperature=4.0)(torch.tensor([[1.0, 0.0]]), teacher).item():.4f}")
        0.0000
    """

    place = "logits"
    least_at_teacher = False

    def __init__(self, *, temperature: float = 4.0, weighted: bool = True) -> None:
        super().__init__()
        self.temperature, self.weighted = check_temperature(temperature), weighted

    def forward(
        self,
        student: Float[Tensor, "*items classes"],
        teacher: Float[Tensor, "*items classes"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's answers with the teacher's softened ones."""
        check_logits(student, teacher)
        check_mask(mask, student.shape[:-1])
        student, teacher = blank(mask, student, teacher.detach())
        values = forward_kl(soften(student, 1.0), soften(teacher, self.temperature))
        if self.weighted:
            values = values * (soften(teacher, 1.0) / self.temperature).exp().sum(-1)
        return masked_mean(values, mask)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"temperature={self.temperature}, weighted={self.weighted}"
