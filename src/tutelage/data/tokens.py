"""Batches of tokens, as the collators of Transformers and TRL make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tutelage.errors import DataError
from tutelage.types import UNLABELLED

__all__ = ["Convention", "holds_tokens", "pad_tokens", "read_tokens"]

Convention = Literal["next", "each"]
"""What a label at a position is of: the token there, to be predicted from those before it, as causal models
of Transformers read their batches (`next`); or the position itself, as all others do (`each`)."""

_ANSWERS = ("completion_mask", "assistant_masks")
_FILLING: Mapping[str, int] = {"labels": UNLABELLED}


def holds_tokens(items: Sequence[Any]) -> bool:
    """Whether items are mappings with `input_ids` of one axis, lists or tensors."""
    first = items[0] if items else None
    held = first.get("input_ids") if isinstance(first, Mapping) else None
    return (isinstance(held, list) and bool(held) and isinstance(held[0], int)) or (
        isinstance(held, Tensor) and held.ndim == 1
    )


def pad_tokens(items: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Texts of any length as one batch, filled up on the right.

    What fills up has `attention_mask` 0 and the label −100; texts of one length need no mask.

    Args:
        items: `input_ids` and whatever else is as long, such as `labels` or `completion_mask`.

    Example:
        >>> pad_tokens([{"input_ids": [5, 6, 7]}, {"input_ids": [8]}])["attention_mask"]
        tensor([[1, 1, 1],
                [1, 0, 0]])
    """
    columns = {name: [torch.as_tensor(item[name]) for item in items] for name in items[0]}
    if len({len(held) for held in columns["input_ids"]}) > 1:
        columns.setdefault("attention_mask", [torch.ones_like(held) for held in columns["input_ids"]])
    return {
        name: pad_sequence(held, batch_first=True, padding_value=_FILLING.get(name, 0))
        if held[0].ndim
        else torch.stack(held)
        for name, held in columns.items()
    }


def read_tokens(
    raw: dict[str, Any], labels: Tensor | None, convention: Convention | None
) -> tuple[Tensor | None, Tensor | None]:
    """Labels at the positions that predict them, and true where one counts.

    Padding does not count, nor does a prompt: labels of −100, `attention_mask` 0, `completion_mask` 0 and
    `assistant_masks` 0 (these two are taken out of `raw`). Where nothing was said of the convention, labels
    that repeat the tokens are those of a causal model.

    Args:
        raw: the inputs, `input_ids` [N, length] among them.
        labels: [N, length], or None.
        convention: what a label is of; None to tell it from the labels.

    Returns:
        labels and mask, [N, length] each; what came where these are no labels of positions.

    Raises:
        DataError: a causal model's labels were moved by one already.
    """
    tokens = raw.get("input_ids")
    answers = [raw.pop(name).bool() for name in _ANSWERS if isinstance(raw.get(name), Tensor)]
    if not isinstance(tokens, Tensor) or tokens.ndim != 2:
        return labels, None
    if labels is None and convention == "next":
        labels = tokens
    if labels is None or labels.shape != tokens.shape or labels.is_floating_point():
        return labels, None
    there = raw.get("attention_mask")
    if isinstance(there, Tensor) and there.shape == tokens.shape:
        answers.append(there.bool())
    for counts in answers:
        labels = labels.masked_fill(~counts, UNLABELLED)
    if convention is None and _repeats(tokens, labels):
        convention = "next"
    if convention == "next":
        _check_unmoved(tokens, labels)
        labels = torch.cat([labels[:, 1:], torch.full_like(labels[:, :1], UNLABELLED)], 1)
    return labels, labels != UNLABELLED


def _repeats(tokens: Int[Tensor, "n length"], labels: Int[Tensor, "n length"]) -> bool:
    """Whether each label is the token of its own position."""
    known = labels != UNLABELLED
    return bool(known.any()) and bool((tokens == labels)[known].all())


def _check_unmoved(tokens: Tensor, labels: Tensor) -> None:
    """Refuse labels that are the tokens after those of their positions, and not of these."""
    known: Bool[Tensor, "n length"] = labels != UNLABELLED
    moved = known[:, :-1]
    if (
        bool(moved.any())
        and bool((labels[:, :-1] == tokens[:, 1:])[moved].all())
        and not _repeats(tokens, labels)
    ):
        raise DataError(
            "a causal model of Transformers moves labels by one itself, and these were moved already "
            "(each is the token after its position); give labels that repeat input_ids, with −100 where "
            "none counts, as DataCollatorForLanguageModeling does, or leave them out"
        )
