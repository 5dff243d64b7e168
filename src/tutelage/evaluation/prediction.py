"""Asking a network about a whole set.

An answer is about an example, or about a position of one: with a large vocabulary the logits of all positions
would not fit into memory. So each answer leaves its `Scores`, and of positions the logits of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tutelage.errors import DataError, ModelError
from tutelage.evaluation.predictions import Predictions, check_labels
from tutelage.evaluation.sample import Sample
from tutelage.evaluation.scores import Scores
from tutelage.modes import evaluating
from tutelage.types import UNLABELLED, Batch, HeadLogits, Outputs, map_tensors

__all__ = ["predict", "row_and_position"]

_POSITIONS = 2048  # whose logits are in memory at a time
_STRIDE = 2**20  # more than any example has positions


def predict(
    answer: Callable[[Batch], Outputs], batches: Iterable[Batch], *, device: torch.device | str
) -> Predictions:
    """Ask for the answer to each batch, in inference mode.

    An `answer` that is an `nn.Module` is put into eval mode and back; put what a plain function calls into
    eval mode with `evaluating`. Answers about positions are asked for a few examples at a time, and of their
    logits those of a sample are kept: the same positions for the same ids, whatever the order.

    Args:
        answer: a teacher or a wrapped student.
        batches: what to ask; items with mask = false are left out.
        device: where the batches are moved before they are asked about.

    Shapes: `answer` returns logits [n, C] for a batch of n, with labels and a mask of [n] or None; or
    [n, length, C], with labels [n, length] and a mask of [n], [n, length] or None. A head that has not
    computed its logits will do.

    Raises:
        DataError: no (unmasked) item, or labels or masks of another shape.
        ModelError: no logits, logits of another shape, or logits that are NaN or infinite.
    """
    asked = [answer] if isinstance(answer, nn.Module) else []
    found = _Answers()
    with evaluating(*asked), torch.inference_mode():
        for batch in batches:
            for few in _few(batch.to(device)):
                found.add(answer(few), few)
    return found.predictions()


def row_and_position(ids: Tensor) -> tuple[Tensor, Tensor]:
    """The example and the position within it of items whose answers are about positions.

    Args:
        ids: of answers that `predict` gave.
    """
    return ids // _STRIDE, ids % _STRIDE


class _Answers:
    """What is kept of answers, batch by batch."""

    def __init__(self) -> None:
        self.parts: list[tuple[Tensor, Tensor, Scores]] = []
        self.sample: Sample | None = None
        self.width: int | None = None
        self.broken = 0

    def add(self, outputs: Outputs, batch: Batch) -> None:
        """Take up the answers to a batch's unmasked items."""
        answers = _answers(outputs, len(batch))
        items, width = answers.shape[:-1], answers.shape[-1]
        if self.width not in (None, width):
            widths = sorted({self.width, width})
            raise ModelError(f"the network answers with {widths} classes in one set; one number was expected")
        self.width = width
        labels, ids, keep = _labels(batch, items), _ids(batch, items), _keep(batch, items)
        labels, ids, logits = labels[keep].cpu(), ids[keep].cpu(), _logits(answers, keep)
        check_labels(labels, width)
        self.broken += int((~logits.isfinite()).any(-1).sum())
        self.sample = self.sample or Sample(limited=len(items) > 1)
        self.sample.add(logits, ids)
        self.parts.append((labels, ids, Scores.of(logits, labels)))

    def predictions(self) -> Predictions:
        """All of it."""
        count = sum(len(labels) for labels, _, _ in self.parts)
        if self.sample is None or count == 0:
            raise DataError(
                "there is not one example to predict: the set is empty, or its masks leave out all of it"
            )
        if self.broken:
            raise ModelError(
                f"the network's logits are NaN or infinite for {self.broken} of {count} examples; "
                "check its weights and the scale of its inputs"
            )
        labels, ids, scores = zip(*self.parts, strict=True)
        logits, sampled = self.sample.gathered()
        return Predictions(
            logits, torch.cat(labels), torch.cat(ids), scores=Scores.join(scores), sampled=sampled
        )


def _few(batch: Batch) -> Iterator[Batch]:
    """The batch in parts of so many positions; whole where its items are examples."""
    beside = batch.labels if batch.mask is None or batch.mask.ndim == 1 else batch.mask
    if beside is None or beside.ndim == 1:
        yield batch
        return
    size = max(1, _POSITIONS // max(1, beside.shape[1]))
    for start in range(0, len(batch), size):
        some = slice(start, start + size)
        yield replace(
            batch,
            inputs=map_tensors(batch.inputs, lambda tensor, some=some: tensor[some]),  # type: ignore[misc]
            ids=batch.ids[some],
            labels=map_tensors(batch.labels, lambda tensor, some=some: tensor[some]),  # type: ignore[misc]
            mask=None if batch.mask is None else batch.mask[some],
            keys=None if batch.keys is None else batch.keys[some],
        )


def _answers(outputs: Outputs, size: int) -> Tensor | HeadLogits:
    found = outputs.head if outputs.logits is None else outputs.logits
    if found is None or len(found.shape) not in (2, 3) or found.shape[0] != size:
        came = "none" if found is None else list(found.shape)
        raise ModelError(
            f"one row of logits for each example was expected ([{size}, classes]), or for each position "
            f"([{size}, length, classes]); got {came}"
        )
    return found


def _logits(answers: Tensor | HeadLogits, keep: Tensor) -> Tensor:
    """Those of the items that count, in float32."""
    if isinstance(answers, HeadLogits):
        return replace(answers, hidden=answers.hidden[keep]).whole().float()
    return answers[keep].float()


def _labels(batch: Batch, items: torch.Size) -> Tensor:
    labels: Tensor | None = batch.labels
    if labels is None:
        return torch.full(items, UNLABELLED, device=batch.ids.device)
    if labels.shape != items or labels.is_floating_point():
        each = "example" if len(items) == 1 else "position"
        raise DataError(
            f"one class index for each {each} was expected (whole numbers, {list(items)}); got "
            f"{labels.dtype}, {list(labels.shape)}"
        )
    return labels.long()


def _keep(batch: Batch, items: torch.Size) -> Tensor:
    if batch.mask is None:
        return torch.ones(items, dtype=torch.bool, device=batch.ids.device)
    mask = batch.mask.bool()
    if mask.shape not in (items, items[:1]):
        each = "example" if len(items) == 1 else "position"
        raise DataError(
            f"one mask value for each {each} was expected ({list(items)}); got {list(mask.shape)}"
        )
    return mask if mask.ndim == len(items) else mask.unsqueeze(-1).expand(items)


def _ids(batch: Batch, items: torch.Size) -> Tensor:
    """Those of the examples, or numbers that example and position tell apart."""
    ids = batch.ids.long()
    if len(items) == 1:
        return ids
    return ids.unsqueeze(-1) * _STRIDE + torch.arange(items[1], device=ids.device)
