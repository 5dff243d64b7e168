"""What a loss is given of a network's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from tutelage.errors import ModelError, UnknownName
from tutelage.losses import Loss
from tutelage.types import Batch, Outputs, SparseLogits

__all__ = ["few", "named_labels", "value_at"]


def named_labels(batch: Batch, name: str | None, term: str) -> Batch:
    """The batch with the labels of that name; as it is where none is named, or where it has no labels."""
    if name is None or batch.labels is None:
        return batch
    if not isinstance(batch.labels, Mapping):
        raise ModelError(
            f"{term} is about the labels {name!r}, and a batch has labels without names; leave labels= out"
        )
    if name not in batch.labels:
        raise UnknownName("labels", name, batch.labels, hint=f"They are what {term} is about.")
    return replace(batch, labels=batch.labels[name])


def value_at(outputs: Outputs, layer: str | None, who: str, term: str) -> Tensor:
    """The logits of a network, or its feature at a layer."""
    value = outputs.logits if layer is None else outputs.features.get(layer)
    if value is None:
        what = "no logits" if layer is None else f"nothing at the layer {layer!r}"
        raise ModelError(
            f"{term} needs the {who}'s {'logits' if layer is None else layer}, and it gave {what}"
        )
    return value


def few(sparse: SparseLogits, loss: Loss, transform: nn.Module | None, term: str) -> SparseLogits:
    """A teacher's few classes, for a loss that can do with them."""
    if transform is not None:
        raise ModelError(
            f"{term} transforms logits, and the teacher gave few of them; leave transform= out, or "
            "use a teacher that gives all"
        )
    if not loss.reads_sparse:
        raise ModelError(
            f"{term} needs the teacher's logits of all classes, and it gave few of them; use a loss "
            "that takes few, such as response.SoftTarget, or a teacher that gives all"
        )
    return sparse
