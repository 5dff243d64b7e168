"""Hints: the intermediate targets of FitNets."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tutelage.losses.loss import Loss
from tutelage.losses.reduction import blank, check_mask, check_same_shape, masked_mean, widen

__all__ = ["Hint"]


class Hint(Loss):
    """Hint (FitNets): squared error between the student's guided layer and the teacher's hint layer.

    A thin and deep student is hard to train from its last layer alone; a target in the middle shows it the
    way. The student's feature comes here after its projector, in the shape of the teacher's.

    Shapes: student and teacher [items, ...], any axes after the first, mask [items] or the leading axes of
    the features -> a scalar, the mean over unmasked items of the mean over the elements of an item, in
    squared units of the feature. Range 0 to infinity; zero where the features are equal.

    Raises:
        ValueError: shapes differ, or the mask does not fit.

    Source: Romero et al., FitNets: Hints for Thin Deep Nets, 2015, equation 3. Difference: the mean over the
    elements of an item stands in place of half of the sum, so that a weight does not depend on the size of
    the layer; for the paper's value multiply by half of the number of elements.

    Example:
        >>> import torch
        >>> Hint()(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()
        2.0
    """

    place = "features"
    same_shape = True

    def forward(
        self,
        student: Float[Tensor, "*feature"],
        teacher: Float[Tensor, "*feature"],
        mask: Bool[Tensor, "*masked"] | None = None,
    ) -> Float[Tensor, ""]:
        """Compare the student's projected feature with the teacher's."""
        check_same_shape(student, teacher, advice="put a projector on the student's feature")
        check_mask(mask, student.shape)
        student, teacher = blank(mask, student, teacher.detach())
        return masked_mean((widen(student) - widen(teacher)).square(), mask)
