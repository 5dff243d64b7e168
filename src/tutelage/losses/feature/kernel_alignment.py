"""How alike the items of a batch are, to the student and to the teacher."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.features import example_rows
from tutelage.losses.kernels import ROUNDING, centred
from tutelage.losses.loss import Loss
from tutelage.losses.pairs import product

__all__ = ["KernelAlignment"]


class KernelAlignment(Loss):
    """Centred kernel alignment (CKA): one minus the alignment of the two linear kernels of a batch.

    Which items resemble each other is compared, not the features themselves: widths may differ, and a
    rotation or a scale of either feature changes nothing. Items of a batch are compared with one another, so
    a batch is not the sum of its micro-batches.

    Shapes: student and teacher [items, ...], any axes after the first, which are laid end to end; mask
    [items] or [items, length] -> a scalar, 1 − ‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖) in Frobenius norms, X and Y the rows
    of the unmasked examples less their mean. Range 0 to 1; zero where one feature is a rotation, scale and
    shift of the other. Where the teacher's rows vary by rounding alone, as with a single example, it is 0;
    where only the student's do, it is 1, with gradient 0. It takes a matrix of [items, items] or of
    [channels, channels] numbers, whichever is smaller.

    Raises:
        ValueError: the numbers of items differ, or the mask does not fit.

    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, 2019, section 3 (linear
    CKA). Difference: theirs is a measure between trained networks; its complement, on a batch, is a loss.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> teacher = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
        >>> print(f"{KernelAlignment()(student, teacher).item():.4f}")  # 1 - 2² / (√(2² + 2²) · 2)
        0.2929
    """

    place = "features"
    layouts = ("vectors", "tokens", "maps")
    by_example = True
    compares_items = True

    def forward(
        self,
        student: Float[Tensor, "items ..."],
        teacher: Float[Tensor, "items ..."],
        mask: Bool[Tensor, "items ..."] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare which items the student and the teacher find alike."""
        *both, counts = example_rows(student, teacher, mask)
        ours, theirs = (_scaled(centred(rows, counts), rows) for rows in both)
        if len(ours) > max(ours.shape[1], theirs.shape[1]):
            shared, own, other = product(theirs.T, ours), product(ours.T, ours), product(theirs.T, theirs)
            common = shared.square().sum()
        else:
            own, other = product(ours, ours.T), product(theirs, theirs.T)
            common = (own * other).sum()
        lengths = own.square().sum() * other.square().sum()
        alignment = common / lengths.masked_fill(lengths == 0, 1).sqrt()
        return (1 - alignment).masked_fill((other == 0).all(), 0)


def _scaled(
    rows: Float[Tensor, "items channels"], before: Float[Tensor, "items channels"]
) -> Float[Tensor, "items channels"]:
    """Centred rows of Frobenius norm 1, so that fourth powers neither overflow nor vanish.

    Rows which, beside what they were before, vary by rounding alone do not vary: they become zeros. The
    alignment does not depend on the scale, so that its gradient through the scale is 0: it is left out.
    """
    length, reach = (torch.linalg.vector_norm(held.detach()) for held in (rows, before))
    scaled: Tensor = rows / length.masked_fill(
        length <= ROUNDING * torch.finfo(rows.dtype).eps * reach, torch.inf
    )
    return scaled
