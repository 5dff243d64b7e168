"""How examples correlate, under a kernel: congruence of correlation matrices."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.blocks import sum_by_blocks
from tutelage.losses.features import example_rows
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import directions, product

__all__ = ["CorrelationCongruence"]


class CorrelationCongruence(Loss):
    """Correlation congruence (CC, CCKD): squared error between kernel matrices of the batch.

    Teachers give more than single answers: how answers vary together. A Gaussian kernel sees products of
    channels of higher orders than an inner product does, and weighs near examples more.

    Of a batch above 1,024 items it holds a block of rows of these matrices at a time.

    Args:
        kernel: "gaussian", the Taylor expansion of exp(−γ‖x − y‖²) between unit vectors, which is
            exp(−2γ) Σ (2γ x·y)ᵖ / p!; or "bilinear", the inner product x·y of the features as they are, in
            their squared unit.
        decay: γ, how fast the Gaussian falls with the squared distance; above 0.
        order: P, the highest power of the expansion; 1 or more.

    Shapes: student and teacher [items, ...], one row an example, of any two widths, mask [items] or, to blank
    positions, [items, length] -> a scalar, the mean over ordered pairs of unmasked examples, each with itself
    among them. Range 0 to infinity; below 1 for the Gaussian kernel at its defaults. Zero where the kernel
    matrices are equal. A zero vector has the cosine 0 with all others.

    Raises:
        ValueError: the kernel is unknown, decay or order is out of range, the numbers of examples differ, or
            the mask does not fit.

    Source: Peng et al., Correlation Congruence for Knowledge Distillation, 2019, section 3; γ = 0.4 and
    P = 2 as there. Differences: their metric, maximum mean discrepancy, is left out as a kernel; sampling
    batches by class or by cluster is the data's affair. What goes by this name in RepDistiller, by its own
    words restructured from the authors' code, has no kernel and no matrix: the mean over neighbours in the
    batch of the inner products of their |student − teacher|, in an embedding of one width. Weights for it
    (0.02 there) do not carry over.

    Example:
        >>> import torch
        >>> loss = CorrelationCongruence()(torch.eye(2), torch.ones(2, 1))  # cosines 0 against 1
        >>> print(f"{loss.item():.4f}")  # (e^-.8 · (.8 + .8² / 2))² · 2 / 2²
        0.1266
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    by_example: ClassVar[bool] = True
    compares_items: ClassVar[bool] = True

    def __init__(
        self, *, kernel: Literal["gaussian", "bilinear"] = "gaussian", decay: float = 0.4, order: int = 2
    ) -> None:
        super().__init__()
        if kernel not in ("gaussian", "bilinear"):
            raise ValueError(f"kernel came as {kernel!r}; 'gaussian' or 'bilinear' is expected")
        if not 0 < decay < math.inf:
            raise ValueError(f"decay came as {decay}; a finite number above 0 is expected")
        if order < 1:
            raise ValueError(f"order came as {order}; 1 or more is expected")
        self.kernel, self.decay, self.order = kernel, decay, order

    def forward(
        self,
        student: Float[Tensor, "items ..."],
        teacher: Float[Tensor, "items ..."],
        mask: Bool[Tensor, "items ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare how the student's examples correlate with how the teacher's do."""
        student, teacher, counts = example_rows(student, teacher, mask)
        if self.kernel == "gaussian":
            student, teacher = directions(student), directions(teacher)

        def gaps(block: slice, rows: Tensor) -> Tensor:
            ours, theirs = (self._kernel(product(held[block], held.mT)) for held in (rows, teacher))
            return ours.sub_(theirs).square().sum()

        return sum_by_blocks(gaps, student, items=len(student)) / counts.sum().clamp(min=1).square()

    def _kernel(self, cosines: Float[Tensor, "some items"]) -> Float[Tensor, "some items"]:
        """The kernel of inner products; the constant term of the expansion is left out, equal in both."""
        if self.kernel == "bilinear":
            return cosines
        powers = range(self.order, 0, -1)
        factors = [math.exp(-2 * self.decay) * (2 * self.decay) ** p / math.factorial(p) for p in powers]
        total = cosines * factors[0]
        for factor in factors[1:]:  # Horner's rule: ((a₃ x + a₂) x + a₁) x
            total = total.add_(factor) * cosines
        return total

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        if self.kernel == "bilinear":
            return f"kernel={self.kernel!r}"
        return f"kernel={self.kernel!r}, decay={self.decay}, order={self.order}"
