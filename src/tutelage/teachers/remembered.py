"""A teacher that is asked once about each example."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor

from tutelage.errors import ModelError, TutelageWarning
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs, map_tensors

__all__ = ["Remembered"]

_BITS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


class Remembered(Teacher):
    """Keeps another teacher's logits in memory, by example id, and answers from there.

    An answer belongs to the inputs that it was given for: beside each one lies a checksum of its inputs. When
    an example comes back with other inputs, as under random augmentation, the memory is dropped with a
    warning, and the teacher is asked again each time.

    Args:
        teacher: who knows.

    Shapes:
        batch: ids [N], from 0 to not much more than the number of examples.
        returns: logits [N, C], on the batch's device.

    Example:
        >>> from tutelage.teachers import Frozen
        >>> teacher = Remembered(Frozen(torch.nn.Linear(4, 3)))
        >>> batch = Batch(inputs=torch.ones(2, 4), ids=torch.tensor([7, 9]))
        >>> bool((teacher(batch).logits == teacher(batch).logits).all()), teacher.asked
        (True, 2)
    """

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        self.remembers = True
        self.asked = 0
        self._logits = torch.empty(0, 0)
        self._sums = torch.empty(0, dtype=torch.int64)
        self._known = torch.empty(0, dtype=torch.bool)

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch, from memory where all of it is there."""
        if not self.remembers:
            return self._ask(batch)
        ids, sums = batch.ids.cpu(), _checksums(batch)
        inside = ids < len(self._known)
        known = torch.zeros_like(inside)
        known[inside] = self._known[ids[inside]]
        if not torch.equal(self._sums[ids[known]], sums[known]):
            self._forget()
            return self._ask(batch)
        if bool(known.all()):
            return Outputs(logits=self._logits[ids].to(batch.ids.device))
        answer = self._ask(batch)
        self._keep(ids, sums, answer.logits)
        return answer

    @torch.no_grad()
    def ask_ahead(self, batches: Iterable[Batch]) -> None:
        """Ask about all of these now, so that answers do not depend on the batches of training.

        A network's answer to an example may differ in its last bits with the batch that it comes in; asked
        in one order, a run that was resumed remembers what the undisturbed run did.
        """
        for batch in batches:
            self(batch)

    def _ask(self, batch: Batch) -> Outputs:
        self.asked += len(batch)
        answer: Outputs = self.teacher(batch)
        return answer

    def _keep(self, ids: Tensor, sums: Tensor, logits: Tensor | None) -> None:
        if logits is None:
            raise ModelError("Remembered keeps logits, and its teacher gave none; ask that teacher itself")
        more = int(ids.max()) + 1 - len(self._known)
        if more > 0:
            more = max(more, len(self._known))
            old = self._logits if len(self._known) else logits.new_empty(0, *logits.shape[1:]).cpu()
            self._logits = torch.cat([old, old.new_zeros(more, *old.shape[1:])])
            self._sums = torch.cat([self._sums, self._sums.new_zeros(more)])
            self._known = torch.cat([self._known, self._known.new_zeros(more)])
        self._sums[ids], self._logits[ids], self._known[ids] = sums, logits.detach().cpu(), True

    def _forget(self) -> None:
        self.remembers = False
        self._logits, self._sums, self._known = (held[:0] for held in (self._logits, self._sums, self._known))
        warnings.warn(
            "an example came back with other inputs, so the teacher's remembered answers do not fit it (a "
            "random augmentation?); the teacher is asked again each time",
            TutelageWarning,
            stacklevel=2,
        )


def _checksums(batch: Batch) -> Tensor:
    """One number for each example, exact whatever the batch, that changes when its inputs do; int64 [N]."""
    total = torch.zeros(len(batch), dtype=torch.int64, device=batch.ids.device)

    def add(tensor: Tensor) -> Tensor:
        rows = tensor.detach().reshape(len(tensor), -1).contiguous()
        bits = rows.view(_BITS.get(rows.dtype, rows.dtype)).to(torch.int64)
        odd = torch.arange(bits.shape[1], device=bits.device) * 0x9E3779B1 + 1  # wraps around, exactly
        total.add_((bits * odd).sum(1))
        return tensor

    map_tensors(batch.inputs, add)
    return total.cpu()
