"""A teacher that begins to answer before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from threading import Lock

import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["Ahead"]

_Begun = tuple[Outputs, torch.Event | None]


class Ahead(Teacher):
    """Answers the batch of the next step while the student learns from this one.

    On the processor the teacher works on a thread of its own: worth it where a core is idle, as with networks
    too small to be computed on several. On an accelerator that thread uses a stream of its own. A batch that
    was not begun is answered when it is asked for. The answers are the same either way.

    Args:
        teacher: who answers; one that does not change with the student.

    Shapes: those of `teacher`.

    Raises:
        ModelError: a teacher that moves with the student, or heeds it.

    Example:
        >>> from tutelage.teachers import Frozen
        >>> batch = Batch(inputs=torch.ones(2, 4), ids=torch.arange(2))
        >>> teacher = Ahead(Frozen(torch.nn.Linear(4, 3)))
        >>> teacher.begin(batch)  # works on
        >>> teacher(batch).logits.shape  # waits for it
        torch.Size([2, 3])
    """

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        if teacher.moves or teacher.heeds:
            raise ModelError(
                f"{type(teacher).__name__} changes with the student, so it cannot answer ahead of it; leave "
                "ahead out"
            )
        self.teacher = teacher
        self._begun: list[tuple[Batch, Future[_Begun]]] = []
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher")
        self._alone = Lock()  # a network whose layers are watched answers one batch at a time
        self._stream: torch.Stream | None = None

    def begin(self, batch: Batch) -> None:
        """Begin to answer a batch that will be asked for soon."""
        device, ready = batch.ids.device, None
        if device.type != "cpu":
            self._stream = self._stream or torch.Stream(device)
            ready = torch.accelerator.current_stream(device).record_event()
        self._begun.append((batch, self._worker.submit(self._ask, batch, _autocast(batch), ready)))

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch; wait for what was begun."""
        for number, (held, answer) in enumerate(self._begun):
            if held.ids is batch.ids:
                del self._begun[: number + 1]  # what was begun before it is not asked for any more
                return _taken_up(*answer.result(), batch.ids.device)
        with self._alone:
            found: Outputs = self.teacher(batch)
        return found

    def watch(self, layers: Sequence[str]) -> None:
        """Add layers to the features of every later answer."""
        self.teacher.watch(layers)

    def stages(self, batch: Batch) -> list[str]:
        """Paths of the layers where the teacher's stages end."""
        return self.teacher.stages(batch)

    def _ask(self, batch: Batch, autocast: Callable[[], torch.autocast], ready: torch.Event | None) -> _Begun:
        """On the thread: wait until the batch is there, and answer it."""
        with self._alone, torch.no_grad(), autocast(), self._stream or nullcontext():
            if self._stream is None or ready is None:
                return self.teacher(batch), None
            self._stream.wait_event(ready)
            return self.teacher(batch), self._stream.record_event()


def _taken_up(outputs: Outputs, done: torch.Event | None, device: torch.device) -> Outputs:
    """An answer from another stream, for the one in use: that waits for it, and its memory for that."""
    if done is not None:
        current = torch.accelerator.current_stream(device)
        current.wait_event(done)
        for tensor in _tensors(outputs):
            tensor.record_stream(current)
    return outputs


def _tensors(outputs: Outputs) -> Iterator[Tensor]:
    found = [outputs.logits, outputs.mask, *outputs.features.values()]
    if outputs.head is not None:
        found.append(outputs.head.hidden)
    if outputs.sparse is not None:
        found += [outputs.sparse.classes, outputs.sparse.scores, *outputs.sparse.tails.values()]
    return (tensor for tensor in found if tensor is not None)


def _autocast(batch: Batch) -> Callable[[], torch.autocast]:
    """The caller's autocast, which a thread does not inherit."""
    kind = batch.ids.device.type
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return partial(torch.autocast, kind, dtype=dtype, enabled=enabled)
