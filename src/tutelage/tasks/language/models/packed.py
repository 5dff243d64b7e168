"""A causal language model of Transformers that reads rows of several documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.types import HeadLogits

__all__ = ["HeadAnswer", "PackedRows", "pack", "unpacked", "within_documents"]


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """An answer whose logits are still to be computed."""

    head: HeadLogits
    logits: None = None


class PackedRows(nn.Module):
    """What `pack` adds to a network's class: documents that do not see each other, and the head by itself.

    Attributes:
        answers_head: whether the answer has `head`, and no logits.
    """

    answers_head: bool
    config: Any

    def forward(
        self,
        input_ids: Int[Tensor, "n length"] | None = None,
        position_ids: Int[Tensor, "n length"] | None = None,
        documents: Int[Tensor, "n length"] | None = None,
        **rest: Any,
    ) -> Any:
        """The network's own forward, under a mask within documents where these are given."""
        if position_ids is not None:
            rest["position_ids"] = position_ids
        if documents is not None:
            rest["attention_mask"] = self._mask(documents)
            rest["use_cache"] = False
        if not self.answers_head:
            return super().forward(input_ids=input_ids, **rest)
        backbone = getattr(self, str(self.base_model_prefix))
        return HeadAnswer(self._head(backbone(input_ids=input_ids, **rest).last_hidden_state))

    def _mask(self, documents: Tensor) -> Tensor:
        allowed = within_documents(documents)
        if self.config._attn_implementation != "eager":
            return allowed
        kind = next(self.parameters()).dtype
        return torch.zeros_like(allowed, dtype=kind).masked_fill(~allowed, torch.finfo(kind).min)

    def _head(self, hidden: Float[Tensor, "n length width"]) -> HeadLogits:
        last = self.get_output_embeddings()  # type: ignore[operator]
        said = self.config.get_text_config()
        scale = float(getattr(said, "logit_scale", None) or 1.0)
        scale /= float(getattr(said, "logits_scaling", None) or 1.0)
        cap = getattr(said, "final_logit_softcapping", None)
        return HeadLogits(hidden, last.weight, last.bias, scale, None if cap is None else float(cap))


def pack(network: Any, *, head: bool) -> nn.Module:
    """Give a network the forward of `PackedRows`, in place; its weights and their names stay as they are.

    Args:
        network: a causal language model of Transformers.
        head: whether it answers with its head instead of logits.

    Raises:
        ModelError: its logits are not those of its head.
    """
    kind = type(network)
    network.__class__ = type(f"Packed{kind.__name__}", (PackedRows, kind), {"__module__": __name__})
    network.answers_head = head
    packed: PackedRows = network
    if head:
        _check_head(packed)
    return packed


@contextmanager
def unpacked(network: Any) -> Iterator[None]:
    """Inside the block a network is of its own class, with the forward that its `generate` counts on."""
    kind = type(network)
    if issubclass(kind, PackedRows):
        network.__class__ = kind.__bases__[1]
    try:
        yield
    finally:
        network.__class__ = kind


def within_documents(documents: Int[Tensor, "n length"]) -> Bool[Tensor, "n 1 length length"]:
    """True where a position (rows) may look at another (columns): itself and those before, of its document.

    Example:
        >>> within_documents(torch.tensor([[0, 0, 1]]))[0, 0].int().tolist()
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    """
    same = documents.unsqueeze(-1) == documents.unsqueeze(-2)
    return same.tril().unsqueeze(1)


def _check_head(network: PackedRows) -> None:
    """Refuse a network that does more to its logits than `HeadLogits` knows."""
    tokens = torch.arange(4, device=next(network.parameters()).device).unsqueeze(0)
    with torch.no_grad(), evaluating(network):
        ours = network(tokens).head.whole()
        network.answers_head = False
        theirs = network(tokens).logits
        network.answers_head = True
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max())):
        raise ModelError(
            f"the logits of {type(network).__name__} are not those of its last layer, with the scale and the "
            "cap that its configuration names; leave head out"
        )
