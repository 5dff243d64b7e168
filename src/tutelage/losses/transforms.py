"""Changes of logits before a loss compares them, the student's and the teacher's alike."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tutelage.losses.kernels import about_mean
from tutelage.losses.reduction import blank, check_logits, check_mask, widen

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """Logit standardisation (LS, z-score): each item's logits to mean 0 and standard deviation 1.

    A student of small capacity cannot reach the range of its teacher's logits, and need not: their order and
    their relative distances are the knowledge. Under a softmax this is a temperature of each item's own, the
    loss's times the standard deviation of its logits, for student and teacher apart. Equal logits, which
    differ by rounding alone and have no deviation, become zeros. A class at −inf cannot be: it stays there,
    and is no part of mean and deviation.

    Args:
        gain: what the standard deviation becomes; above 0.

    Shapes: logits [items, classes] or [items, length, classes], mask [items] or [items, length] -> the same,
    in float32 or wider; masked items are zeros.

    Raises:
        ValueError: the gain is not above 0, logits without classes, or the mask does not fit.

    Source: Sun et al., Logit Standardization in Knowledge Distillation, 2024, equations 8 and 9; theirs is
    followed by a soft target at T = 2, its weight 9. No differences; the deviation is that of a sample.

    Example:
        >>> import torch
        >>> Standardise()(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[-1.,  0.,  1.]])
    """

    def __init__(self, *, gain: float = 1.0) -> None:
        super().__init__()
        if not gain > 0:
            raise ValueError(f"gain came as {gain}; a number above 0 is expected")
        self.gain = gain

    def forward(
        self, logits: Float[Tensor, "*items classes"], mask: Bool[Tensor, "*masked"] | None = None
    ) -> Float[Tensor, "*items classes"]:
        """Standardise each item's logits."""
        check_logits(logits)
        check_mask(mask, logits.shape[:-1])
        (logits,) = blank(mask, logits)
        absent = torch.isneginf(logits)
        centred = about_mean(widen(logits).masked_fill(absent, 0), ~absent)
        number = (~absent).sum(-1, keepdim=True)
        variance = centred.square().sum(-1, keepdim=True) / (number - 1).clamp(min=1)
        found: Tensor = self.gain * centred / variance.masked_fill(variance == 0, 1).sqrt()
        return found.masked_fill(absent, -torch.inf)

    def extra_repr(self) -> str:
        """Say the hyperparameters."""
        return f"gain={self.gain}"
