"""Attention of Transformers networks that shows its scores, for losses that compare them."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

__all__ = ["SCORES", "register_scores"]

SCORES = "scores"
"""What a recipe calls it."""

_NAME = "tutelage_scores"


def register_scores(library: Any) -> str:
    """Make the attention known to Transformers; its name there.

    Args:
        library: Transformers.
    """
    from transformers.masking_utils import eager_mask

    library.AttentionInterface.register(_NAME, _attend)
    library.AttentionMaskInterface.register(_NAME, eager_mask)
    return _NAME


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """As the library's own, but what is shown are the scores before mask, softmax and dropout."""
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    masked = scores if attention_mask is None else scores + attention_mask
    weights = F.dropout(masked.softmax(-1), dropout, module.training)
    return (weights @ value).transpose(1, 2).contiguous(), scores
