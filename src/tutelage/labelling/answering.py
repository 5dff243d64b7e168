"""Put examples before a teacher, and take its logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.studies.views import Shown
from tutelage.teachers import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["answer", "batches", "logits_of", "rows_of", "sample"]


def answer(teacher: Teacher, batch: Batch, device: torch.device, precision: str = "float32") -> Outputs:
    """What a teacher says, without a gradient."""
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        outputs: Outputs = teacher(batch.to(device))
    if outputs.logits is None and outputs.head is None:
        raise ModelError("the teacher answers without logits, and logits are what is stored; ask another one")
    return outputs


def sample(parts: Sequence[Shown], *, rows: int, name: str = "validation") -> Iterator[Batch]:
    """Batches from the start of a split until they have so many rows of logits, or the split ends."""
    part = next((each for each in parts if each.name == name), parts[0])
    found = 0
    for numbers in batches(0, len(part.source), 64):
        batch = part.views[[numbers]][0]
        yield batch
        found += batch.count
        if found >= rows:
            return


def rows_of(logits: Tensor, batch: Batch) -> Tensor:
    """The logits of what counts in a batch, one row each, in float32 on the CPU."""
    if logits.ndim > 2:
        logits = logits.flatten(0, 1) if batch.mask is None else logits[batch.mask]
    return logits.float().cpu()


def logits_of(outputs: Outputs) -> Tensor:
    """The logits of an answer, computed if they are not yet."""
    logits = outputs.logits if outputs.head is None else outputs.head.whole()
    assert logits is not None
    return logits.detach()


def batches(start: int, stop: int, size: int) -> Iterator[list[int]]:
    """Numbers from start to stop, so many at a time."""
    for first in range(start, stop, size):
        yield list(range(first, min(first + size, stop)))
