"""Blocks of a Transformer that reads a text and writes another one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block", "State", "seen"]

State = dict[str, tuple[Tensor, Tensor]]
"""Keys and values of what is written so far (`own`) and of what was read (`read`)."""


def seen(state: State) -> int:
    """How many positions are written so far."""
    return state["own"][0].shape[2] if state else 0


class _Attention(nn.Module):
    """Attention with several heads."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out = nn.Linear(hidden, hidden)

    def seen(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of some positions, [N, heads, length, width]."""
        return self._cut(self.key(values)), self._cut(self.value(values))

    def forward(
        self, values: Tensor, seen: tuple[Tensor, Tensor], mask: Tensor | None, *, looks_back: bool = False
    ) -> Tensor:
        """What each position takes from those that are seen."""
        taken = F.scaled_dot_product_attention(
            self._cut(self.query(values)), *seen, attn_mask=mask, is_causal=looks_back
        )
        joined: Tensor = self.out(taken.transpose(1, 2).flatten(2))
        return joined

    def _cut(self, values: Tensor) -> Tensor:
        cut: Tensor = values.view(*values.shape[:2], self.heads, values.shape[2] // self.heads)
        return cut.transpose(1, 2)


class Block(nn.Module):
    """Attention to its own text, to the other one if it is to look across, and two layers; norms before."""

    def __init__(
        self, hidden: int, heads: int, middle: int, dropout: float, *, looks_across: bool = False
    ) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(hidden), _Attention(hidden, heads)
        if looks_across:
            self.across_norm, self.across = nn.LayerNorm(hidden), _Attention(hidden, heads)
        self.last_norm = nn.LayerNorm(hidden)
        self.widen, self.narrow = nn.Linear(hidden, middle), nn.Linear(middle, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        values: Tensor,
        *,
        there: Tensor,
        across: Tensor | None = None,
        state: State | None = None,
    ) -> Tensor:
        """The hidden states after this block; a decoder's looks back alone, and keeps what it has seen."""
        mask = there[:, None, None, :].bool()
        normed = self.norm(values)
        own = self.attention.seen(normed)
        if across is None or state is None:
            values = values + self.dropout(self.attention(normed, own, mask))
        else:
            begins = not state
            if not begins:
                own = tuple(torch.cat(both, 2) for both in zip(state["own"], own, strict=True))  # type: ignore[assignment]
            state["own"] = own
            values = values + self.dropout(self.attention(normed, own, None, looks_back=begins))
            if begins:
                state["read"] = self.across.seen(across)
            taken = self.across(self.across_norm(values), state["read"], mask)
            values = values + self.dropout(taken)
        made = self.narrow(F.gelu(self.widen(self.last_norm(values))))
        hidden: Tensor = values + self.dropout(made)
        return hidden
