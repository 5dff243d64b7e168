"""A linear map of the last axis."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tutelage.errors import ModelError

__all__ = ["Linear"]


class Linear(nn.Module):
    """Linear projector: a student's vectors or tokens to the teacher's width.

    The plainest bridge between two widths; it is trained with the student and thrown away after. For maps
    [N, C, H, W] use `Conv`.

    Args:
        in_features: the student's width.
        out_features: the teacher's width.

    Shapes:
        student: [N, in_features] or [N, length, in_features], floating.
        returns: the same with out_features on the last axis, in the parameters' precision (an input of
            another precision is cast to it) or in autocast's.

    Raises:
        ModelError: another width, when called.

    Source:
        Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", section 2.2 (the regressor; theirs is
        convolutional, this is its form for vectors).

    Example:
        >>> import torch
        >>> Linear(in_features=64, out_features=256)(torch.zeros(8, 10, 64)).shape
        torch.Size([8, 10, 256])
    """

    def __init__(self, *, in_features: int, out_features: int) -> None:
        super().__init__()
        self.map = nn.Linear(in_features, out_features)

    def forward(self, student: Float[Tensor, "n *length width"]) -> Float[Tensor, "n *length out"]:
        """Map the last axis."""
        if student.shape[-1] != self.map.in_features:
            raise ModelError(
                f"a feature of shape {tuple(student.shape)} came to a projector from {self.map.in_features} "
                f"features. Expected {self.map.in_features} on the last axis; build the projector for this "
                "layer."
            )
        projected: Tensor = self.map(student.to(self.map.weight.dtype))
        return projected
