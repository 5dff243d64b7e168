"""What users' loaders give, read as batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tutelage.data.tokens import Convention, read_tokens
from tutelage.errors import DataError
from tutelage.types import UNLABELLED, Batch, map_tensors

__all__ = ["as_batch", "check_labels", "reading", "tensors_in"]

_LABELS = ("labels", "label", "targets", "target", "y")


def as_batch(raw: Any, ids: Tensor, convention: Convention | None = None) -> Batch:
    """Read a collated batch of a user's loader.

    Args:
        raw: a `Batch`; a tensor of inputs; a tuple whose last member is the labels; or a mapping (a
            Transformers' `BatchEncoding` too) whose labels are called labels, label, targets, target or y.
            A mapping with one other key gives a tensor, with several a mapping. One with `input_ids` is read
            as a batch of tokens, see `tokens.read_tokens`, unless it says by a `mask` which labels count.
        ids: one stable number for each example, for a `raw` without its own.
        convention: what labels of positions are of, see `tokens.Convention`; None to tell it from them.

    Raises:
        DataError: `raw` is of another kind or empty, or its tensors count different numbers of examples.
    """
    if isinstance(raw, Batch):
        batch = raw
    elif isinstance(raw, Tensor):
        batch = Batch(inputs=raw, ids=ids)
    elif isinstance(raw, Mapping):
        batch = _from_mapping(dict(raw), ids, convention)
    elif isinstance(raw, list | tuple) and raw:
        *inputs, last = raw
        batch = _from_parts(inputs, last, ids)
    else:
        raise DataError(
            f"a batch came as {type(raw).__name__}; expected a tensor, (inputs, labels), a mapping, or a "
            "tutelage.Batch. Give your DataLoader a collate_fn that returns one of them"
        )
    if len(batch) == 0:
        raise DataError("an empty batch came; each batch must hold at least one example")
    _check_lengths(batch)
    return batch


def reading(batch: Batch, names: Sequence[str] | None) -> Batch:
    """The same batch for a network that reads some of its inputs.

    Args:
        batch: whose inputs are a mapping, where there are names.
        names: keys of its inputs; one alone gives its tensor, several give a mapping. None for all of them.

    Raises:
        DataError: the inputs are no mapping, or lack a name.
    """
    if names is None:
        return batch
    held = batch.inputs if isinstance(batch.inputs, Mapping) else {}
    missing = [name for name in names if name not in held]
    if missing:
        came = ", ".join(map(str, held)) or type(batch.inputs).__name__
        raise DataError(f"a network reads {', '.join(missing)}, and the inputs of a batch came as {came}")
    return replace(batch, inputs=held[names[0]] if len(names) == 1 else {name: held[name] for name in names})


def tensors_in(value: Any) -> list[Tensor]:
    """Every tensor in a tensor, tuple, list or mapping, in order."""
    found: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(value, note)
    return found


def check_labels(labels: Any, num_classes: int, *, where: str) -> None:
    """Refuse class indices outside 0 … num_classes − 1; `UNLABELLED` is legal.

    Raises:
        DataError: names the first label out of range.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        return
    wrong = ((labels < 0) | (labels >= num_classes)) & (labels != UNLABELLED)
    if bool(wrong.any()):
        came = int(labels[wrong][0])
        raise DataError(
            f"{where} has the label {came} ({int(wrong.sum())} out of range), and {num_classes} classes "
            f"allow 0 to {num_classes - 1} (or {UNLABELLED} for none). Map the labels, or give teacher and "
            "student as many classes; several labels for each example are rows of 0 and 1"
        )


def _check_lengths(batch: Batch) -> None:
    parts = tensors_in((batch.inputs, batch.labels, batch.mask))
    sizes = {len(part) if part.dim() else 0 for part in parts}
    if sizes != {len(batch)}:
        raise DataError(
            f"a batch of {len(batch)} examples came with tensors of lengths {sorted(sizes)}; the first axis "
            "of each must count the examples. Look at the data set's items and the collate_fn"
        )


def _from_mapping(raw: dict[str, Any], ids: Tensor, convention: Convention | None) -> Batch:
    came = next((raw.pop(key) for key in _LABELS if key in raw), None)
    ids = _tensor(raw.pop("ids", ids), "ids")
    labels, mask = _labels(came, len(ids)), raw.pop("mask", None)
    if mask is None:
        labels, mask = read_tokens(raw, labels, convention)
    if not raw:
        raise DataError("a batch came with labels and without inputs; give at least one other key")
    inputs: Any = next(iter(raw.values())) if len(raw) == 1 else raw
    return Batch(inputs=inputs, ids=ids, labels=labels, mask=mask)


def _from_parts(inputs: list[Any], last: Any, ids: Tensor) -> Batch:
    if not inputs:
        return Batch(inputs=last, ids=ids)
    return Batch(
        inputs=inputs[0] if len(inputs) == 1 else tuple(inputs), ids=ids, labels=_labels(last, len(ids))
    )


def _labels(labels: Any, count: int) -> Tensor | None:
    """Labels as a tensor; columns, into which lists in items are collated, side by side."""
    columns = isinstance(labels, list | tuple) and len(labels) > 0
    if columns and all(isinstance(one, Tensor) and one.shape == (count,) for one in labels):
        return torch.stack(list(labels), dim=1)
    return None if labels is None else _tensor(labels, "labels")


def _tensor(value: Any, what: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        word = (
            next((one for one in value if isinstance(one, str)), None) if hasattr(value, "__iter__") else None
        )
        if word is not None and what == "labels":
            raise DataError(
                f"a batch's {what} came as words, such as {word!r}, and numbers were expected; number them "
                "in the data set's __getitem__, such as names.index(word) with names = sorted(set(words)), "
                "or give (inputs, words) as a tuple of arrays, which is served"
            ) from error
        raise DataError(
            f"a batch's {what} came as {type(value).__name__}, and numbers were expected"
        ) from error
