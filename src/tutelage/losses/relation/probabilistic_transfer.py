"""Which examples are neighbours, as probabilities: transfer of a density."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.blocks import sum_by_blocks
from tutelage.losses.features import example_rows
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import directions, log_shares, other_items, product, row_kl

__all__ = ["ProbabilisticTransfer"]


class ProbabilisticTransfer(Loss):
    """Probabilistic transfer (PKT): KL between how likely examples choose one another as neighbours.

    Each example gives the others a probability in proportion to the kernel ½ (cosine + 1). Matching these
    keeps the neighbourhoods of the teacher's space, which retrieval lives on, in a space of any width. The
    kernel has no width to tune.

    Of a batch above 1,024 items it holds a block of rows at a time.

    Shapes: student and teacher [items, ...], one row an example, of any two widths, mask [items] or, to blank
    positions, [items, length] -> a scalar, the mean over unmasked examples of KL(teacher ‖ student) over the
    other unmasked examples, in nats. Range 0 upwards; zero where the probabilities are equal. Cosines within
    rounding of −1 count as that far from it, so that opposite examples cost much and not infinitely much. A
    zero vector has the cosine 0 with all others. Below three examples the loss is 0.

    Raises:
        ValueError: the numbers of examples differ, or the mask does not fit.

    Source: Passalis & Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer, 2018,
    section 3, the cosine kernel and the KL. Differences: the mean over the examples stands in place of their
    sum, so that a weight does not depend on the batch; the kernel has a floor at the rounding of a cosine.
    Their code (probabilistic_kt) is another loss again: each example is among its own neighbours, the mean is
    taken over all pairs, which is the KL of an example divided once more by the number of examples, and 10⁻⁷
    is added to lengths and to both probabilities inside the logarithm. A weight for it is to be divided by
    the batch size here, and its numbers are met in no other way.

    Example:
        >>> teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> loss = ProbabilisticTransfer()(torch.eye(3), teacher)  # two rows (1/2, 1/2) against (2/3, 1/3)
        >>> print(f"{loss.item():.4f}")  # (2/3 ln 4/3 + 1/3 ln 2/3) · 2 / 3
        0.0378
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    by_example: ClassVar[bool] = True
    compares_items: ClassVar[bool] = True

    def forward(
        self,
        student: Float[Tensor, "items ..."],
        teacher: Float[Tensor, "items ..."],
        mask: Bool[Tensor, "items ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's neighbours with the teacher's."""
        student, teacher, counts = example_rows(student, teacher, mask)
        student, teacher = directions(student), directions(teacher)

        def gaps(block: slice, units: Tensor) -> Tensor:
            pairs = other_items(counts, block)
            ours, theirs = (log_shares(_log_kernel(held, block), pairs) for held in (units, teacher))
            return torch.where(counts[block], row_kl(theirs, ours), 0).sum()

        return sum_by_blocks(gaps, student, items=len(student)) / counts.sum().clamp(min=1)


def _log_kernel(units: Float[Tensor, "items width"], block: slice) -> Float[Tensor, "some items"]:
    """log (cosine + 1); the half in front cancels against the sum that it is divided by."""
    return product(units[block], units.mT).add_(1).clamp(min=torch.finfo(units.dtype).eps).log()
