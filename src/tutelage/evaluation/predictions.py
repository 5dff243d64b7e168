"""What a network answers on a whole set, and the modes it was in before it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tutelage.errors import DataError, ModelError
from tutelage.modes import evaluating
from tutelage.types import UNLABELLED, Batch, Outputs

__all__ = ["Predictions", "predict"]


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """The answers to a set of examples, on the CPU.

    Args:
        logits: raw scores.
        labels: class indices; `UNLABELLED` where there is none.
        ids: the stable number of each example.

    Shapes: logits [N, C]; labels and ids [N].

    Raises:
        DataError: shapes that do not fit together, or a label outside 0 … C−1.
    """

    logits: Float[Tensor, "n c"]
    labels: Int[Tensor, " n"]
    ids: Int[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.logits.ndim != 2 or self.labels.shape != (len(self),) or self.ids.shape != (len(self),):
            raise DataError(
                f"predictions need logits [N, C], labels [N] and ids [N]; got {list(self.logits.shape)}, "
                f"{list(self.labels.shape)} and {list(self.ids.shape)}"
            )
        labelled = self.labels[self.labels != UNLABELLED]
        if len(labelled) and not 0 <= int(labelled.min()) <= int(labelled.max()) < self.num_classes:
            raise DataError(
                f"labels run from {int(labelled.min())} to {int(labelled.max())}, but the network answers "
                f"with {self.num_classes} classes (0 … {self.num_classes - 1}); number the labels from 0, or "
                "widen the network"
            )

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def num_classes(self) -> int:
        """C, the width of the logits."""
        return self.logits.shape[1]

    @property
    def log_probs(self) -> Float[Tensor, "n c"]:
        """Log-softmax of the logits at temperature 1, in nats, float64."""
        return self.logits.double().log_softmax(-1)

    @property
    def probs(self) -> Float[Tensor, "n c"]:
        """Softmax of the logits at temperature 1, float64."""
        return self.logits.double().softmax(-1)

    @property
    def classes(self) -> Int[Tensor, " n"]:
        """The class with the greatest logit; the lowest index of equals."""
        return self.logits.argmax(-1)

    @property
    def labelled(self) -> Predictions:
        """Only the examples with a label.

        Raises:
            DataError: none of them has one.
        """
        keep = self.labels != UNLABELLED
        if not keep.any():
            raise DataError(f"none of the {len(self)} examples has a label, so nothing can be right or wrong")
        return self if keep.all() else Predictions(self.logits[keep], self.labels[keep], self.ids[keep])


def predict(
    answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device | str
) -> Predictions:
    """Ask for the answer to each batch, in inference mode.

    An `answer` that is an `nn.Module` is put into eval mode and back; put what a plain function calls into
    eval mode with `evaluating`.

    Args:
        answer: a teacher or a wrapped student.
        batches: what to ask; items with mask = false are left out.
        device: where the batches are moved before they are asked about.

    Shapes: `answer` returns logits [n, C] for a batch of n, with a mask of [n] or None.

    Raises:
        DataError: no (unmasked) example, or labels or masks of another shape.
        ModelError: no logits, logits of another shape, or logits that are NaN or infinite.
    """
    asked = [answer] if isinstance(answer, nn.Module) else []
    with evaluating(*asked), torch.inference_mode():
        parts = [_part(answer(moved), moved) for moved in (batch.to(device) for batch in batches)]
    widths = sorted({logits.shape[1] for logits, _, _ in parts})
    if sum(len(logits) for logits, _, _ in parts) == 0:
        raise DataError(
            "there is not one example to predict: the set is empty, or its masks leave out all of it"
        )
    if len(widths) > 1:
        raise ModelError(f"the network answers with {widths} classes in one set; one number was expected")
    logits, labels, ids = (torch.cat(column) for column in zip(*parts, strict=True))
    broken = int((~logits.isfinite()).any(-1).sum())
    if broken:
        raise ModelError(
            f"the network's logits are NaN or infinite for {broken} of {len(logits)} examples; "
            "check its weights and the scale of its inputs"
        )
    return Predictions(logits, labels, ids)


def _part(outputs: Outputs, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """The logits, labels and ids of a batch's unmasked items, on the CPU."""
    logits, size = outputs.logits, len(batch)
    if logits is None or logits.ndim != 2 or len(logits) != size:
        came = "none" if logits is None else list(logits.shape)
        raise ModelError(f"one row of logits for each example was expected ([{size}, classes]); got {came}")
    labels = torch.full((size,), UNLABELLED) if batch.labels is None else batch.labels
    if labels.shape != (size,) or labels.is_floating_point():
        raise DataError(
            f"one class index for each example was expected (whole numbers, [{size}]); got {labels.dtype}, "
            f"{list(labels.shape)}"
        )
    keep = torch.ones(size, dtype=torch.bool) if batch.mask is None else batch.mask.bool().cpu()
    if keep.shape != (size,):
        raise DataError(f"one mask value for each example was expected ([{size}]); got {list(keep.shape)}")
    return logits.float().cpu()[keep], labels.long().cpu()[keep], batch.ids.long().cpu()[keep]
