"""What is kept of answers that are no classes: numbers beside numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.errors import DataError, ModelError
from tutelage.types import Batch, Outputs

__all__ = ["Collected", "collect"]


@dataclass(frozen=True)
class Collected:
    """A network's outputs beside the labels.

    Args:
        outputs: logits, or numbers.
        labels: NaN where one is not known.
        ids: of the examples.
    """

    outputs: Float[Tensor, "n k"]
    labels: Float[Tensor, "n k"]
    ids: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Int[Tensor, " m"]) -> Collected:
        """The examples at these places, in this order."""
        return Collected(self.outputs[places], self.labels[places], self.ids[places])


def collect(
    answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device
) -> Collected:
    """Ask for the answer to each batch, in inference mode; masked examples are left out.

    Raises:
        DataError: no example, or labels of another shape than the outputs.
        ModelError: no outputs, outputs of another shape, or such that are not finite.
    """
    with torch.inference_mode():
        parts = [_part(answer(batch), batch) for batch in (b.to(device) for b in batches)]
    if not any(map(len, parts)):
        raise DataError("there is not one example to predict: the set is empty, or its masks leave out all")
    found = Collected(
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("outputs", "labels", "ids"))
    )
    broken = int((~found.outputs.isfinite()).any(-1).sum())
    if broken:
        raise ModelError(
            f"the network's outputs are NaN or infinite for {broken} of {len(found)} examples; check its "
            "weights and the scale of its inputs"
        )
    return found


def _part(outputs: Outputs, batch: Batch) -> Collected:
    numbers, labels = outputs.logits, batch.labels
    if numbers is None or numbers.ndim != 2 or len(numbers) != len(batch):
        came = "none" if numbers is None else list(numbers.shape)
        raise ModelError(f"outputs [{len(batch)}, values] were expected, a row for each example; got {came}")
    if labels is None:
        labels = torch.full_like(numbers, torch.nan)
    if labels.shape != numbers.shape:
        raise DataError(
            f"labels came with shape {list(labels.shape)} for outputs of shape {list(numbers.shape)}; one "
            "label is expected for each output"
        )
    keep = torch.ones_like(batch.ids, dtype=torch.bool) if batch.mask is None else batch.mask
    return Collected(numbers[keep].double().cpu(), labels[keep].double().cpu(), batch.ids[keep].long().cpu())
