"""A causal language model of Transformers that reads rows of several documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.tasks.language.models.apart import apart, together
from tutelage.tasks.language.models.ways import Way, choose_way
from tutelage.types import HeadLogits

__all__ = ["PackedAnswer", "PackedRows", "pack", "positions_within", "unpacked", "within_documents"]


@dataclass(frozen=True, slots=True)
class PackedAnswer:
    """The logits of packed rows, or the head that they are still to be computed from."""

    logits: Tensor | None = None
    head: HeadLogits | None = None


class PackedRows(nn.Module):
    """What `pack` adds to a network's class: documents that do not see each other, and the head by itself.

    Attributes:
        answers_head: whether the answer has `head`, and no logits.
        way: how documents are kept apart; see `ways.choose_way`.
    """

    answers_head: bool
    way: Way
    config: Any

    def forward(
        self,
        input_ids: Int[Tensor, "n length"] | None = None,
        position_ids: Int[Tensor, "n length"] | None = None,
        documents: Int[Tensor, "n length"] | None = None,
        **rest: Any,
    ) -> Any:
        """The network's own forward, within documents where these are given."""
        if documents is not None and input_ids is not None and self.way == "apart":
            parts = [(one, self._plain(input_ids[one.rows, one.columns], rest)) for one in apart(documents)]
            joined = together(parts, (documents.shape[0], documents.shape[1]))
            return PackedAnswer(head=self._head(joined)) if self.answers_head else PackedAnswer(joined)
        if position_ids is not None:
            rest["position_ids"] = position_ids
        if documents is not None:
            rest["use_cache"] = False
            if self.way == "mask":
                rest["attention_mask"] = self._mask(documents)
            elif position_ids is None:
                rest["position_ids"] = positions_within(documents)
        if not self.answers_head:
            return super().forward(input_ids=input_ids, **rest)
        backbone = getattr(self, str(self.base_model_prefix))
        return PackedAnswer(head=self._head(backbone(input_ids=input_ids, **rest).last_hidden_state))

    def _plain(self, input_ids: Tensor, rest: Mapping[str, Any]) -> Tensor:
        """Of rows of one document each the logits, or what goes into the head."""
        if not self.answers_head:
            found: Tensor = super().forward(input_ids=input_ids, **rest, use_cache=False).logits
            return found
        backbone = getattr(self, str(self.base_model_prefix))
        hidden: Tensor = backbone(input_ids=input_ids, **rest, use_cache=False).last_hidden_state
        return hidden

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


def pack(network: Any, *, head: bool, fresh: bool = False) -> nn.Module:
    """Give a network the forward of `PackedRows`, in place; its weights and their names stay as they are.

    Args:
        network: a causal language model of Transformers.
        head: whether it answers with its head instead of logits.
        fresh: whether its weights are random.

    Raises:
        ModelError: its logits are not those of its head, or documents cannot be kept apart.
    """
    kind = type(network)
    network.__class__ = type(f"Packed{kind.__name__}", (PackedRows, kind), {"__module__": __name__})
    network.answers_head, network.way = False, "mask"
    packed: PackedRows = network
    packed.way = choose_way(packed, _answer, fresh=fresh)
    packed.answers_head = head
    if head:
        _check_head(packed)
    return packed


def _answer(
    network: Any, way: Way | None, tokens: Tensor, positions: Tensor | None, documents: Tensor | None
) -> Tensor:
    """The logits of a packed network, read in a way."""
    if way is None:
        found: Tensor = network(input_ids=tokens).logits.float()
        return found
    network.way = way
    packed: Tensor = network(input_ids=tokens, position_ids=positions, documents=documents).logits.float()
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


def positions_within(documents: Int[Tensor, "n length"]) -> Int[Tensor, "n length"]:
    """Positions that begin at 0 with each document.

    Example:
        >>> positions_within(torch.tensor([[0, 0, 1]])).tolist()
        [[0, 1, 0]]
    """
    places = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    return places - torch.where(begins, places, 0).cummax(1).values


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
