"""Soft targets by a family of divergences with two exponents."""

from __future__ import annotations

from torch import Tensor

from tutelage.losses.softened import Softened

__all__ = ["AlphaBetaTarget"]


class AlphaBetaTarget(Softened):
    """α–β divergence (ABKD): between forward and reverse KL, with the sharpness of both set apart.

    A larger exponent of the teacher makes the student attend to what the teacher is sure of; a larger one of
    the student, to what the student is sure of and the teacher is not. The forward KL lies at (1, 0), the
    reverse one at (0, 1), four times the squared Hellinger distance at (½, ½).

    Args:
        temperature: T, divides the logits of both; above 0, without a unit.
        teacher_power: α, the exponent of the teacher's probabilities; above 0.
        student_power: β, the exponent of the student's; above 0.
        chunk_size: how many items, or positions of items, to hold in memory at a time; None for all at once.

    Shapes: student and teacher [items, classes] or [items, length, classes], mask [items] or
    [items, length] -> a scalar, the mean over unmasked items of
    T² · Σ (α / (α + β) · p^(α + β) + β / (α + β) · q^(α + β) − p^α q^β) / (α β). Range 0 to
    2 T² / (α β); zero where both softmaxes are equal.

    Raises:
        ValueError: the temperature, an exponent or the chunk size is out of range, shapes differ, or the mask
            does not fit.

    Source: Wang et al., ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge Distillation
    via α-β-Divergence, 2025, the definition of the divergence; α 0.2 and β 0.7 are theirs for writing to
    instructions. Differences: a temperature, and its square; exponents above 0 alone, the limits being
    `SoftTarget` and `ReverseSoftTarget`.

    Example:
        >>> import torch
        >>> loss = AlphaBetaTarget(temperature=1.0, teacher_power=0.5, student_power=0.5)
        >>> teacher = torch.tensor([[0.81, 0.19]]).log()
        >>> print(f"{loss(torch.zeros(1, 2), teacher).item():.4f}")  # 4 (1 − √.405 − √.095)
        0.2215
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        teacher_power: float = 0.2,
        student_power: float = 0.7,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__(temperature=temperature, chunk_size=chunk_size)
        for name, power in (("teacher_power", teacher_power), ("student_power", student_power)):
            if not 0 < power < float("inf"):
                raise ValueError(f"{name} came as {power}; a finite number above 0 is expected")
        self.teacher_power, self.student_power = teacher_power, student_power

    def divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The sum over classes, no term of which is below 0."""
        alpha, beta = self.teacher_power, self.student_power
        both = alpha + beta
        joint = (alpha * teacher + beta * student).exp()
        own = (alpha * (both * teacher).exp() + beta * (both * student).exp()) / both
        return (own - joint).sum(-1) / (alpha * beta)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        powers = f"teacher_power={self.teacher_power}, student_power={self.student_power}"
        return f"{super().extra_repr()}, {powers}"
