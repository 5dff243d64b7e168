"""What every teacher is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from torch import nn

from tutelage.errors import ModelError
from tutelage.types import Batch, Moment, Outputs

__all__ = ["Teacher"]


class Teacher(nn.Module, ABC):
    """Answers batches: `teacher(batch) -> Outputs`.

    A teacher is always in eval mode, dropout and drop-path too: `train()` leaves it there, and each call puts
    back whatever layer was set to training in between. Its parameters never get a gradient. Its answers are
    ordinary tensors that a student's loss may save for its backward; only inside a caller's own
    `torch.inference_mode` are they inference tensors.

    A subclass writes `forward`; if it has layers to show, `watch` and `stages` too. One that follows the
    student (its moving average, its past self) writes `beside` and `after`; one that weighs its answer by
    what the student says writes `heed`.

    Attributes:
        moves: whether it changes while the student trains, so that checkpoints hold it.
        heeds: whether it is asked through `heed`, after the student.
        reads_labels: whether it answers by the labels, so that its quality says nothing.
        keyed: whether it finds its answers by the keys of examples.
        reads: the inputs that it reads, by their keys in a batch's; all of them where it is None.
        moment: how far the training is that it teaches in; None before its first step.
    """

    moves: ClassVar[bool] = False
    heeds: ClassVar[bool] = False
    reads_labels: ClassVar[bool] = False
    keyed: ClassVar[bool] = False
    reads: Sequence[str] | None = None
    moment: Moment | None = None

    def __init__(self) -> None:
        super().__init__()
        self.training = False
        self.register_forward_pre_hook(_stay_in_eval)
        self.register_forward_pre_hook(_what_is_shown)

    @abstractmethod
    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch; it lies on the teacher's device."""

    def watch(self, layers: Sequence[str]) -> None:
        """Add layers to the features of every later answer; those already watched stay.

        Args:
            layers: paths, as `tutelage.capture` reads them.

        Raises:
            ModelError: this teacher has no layers to show.
        """
        if layers:
            raise ModelError(
                f"{type(self).__name__} has no layers to show; came {list(layers)}. Use a loss on logits, "
                "or a Frozen teacher."
            )

    def stages(self, batch: Batch) -> list[str]:  # noqa: ARG002
        """Paths of the layers where its stages end; see `tutelage.stages`.

        Raises:
            ModelError: this teacher has no layers to show.
        """
        raise ModelError(f"{type(self).__name__} has no layers, and so no stages. Use a Frozen teacher.")

    def beside(self, student: nn.Module) -> Teacher:  # noqa: ARG002
        """The teacher to use for this student: itself, or a fresh one that follows it."""
        return self

    def before(self, moment: Moment) -> None:
        """Hear how far the training is, before a step; those whom it asks hear it too."""
        for one in _layers(self):
            if isinstance(one, Teacher):
                one.moment = moment

    def after(self, moment: Moment) -> None:
        """Take up that the student has moved."""

    def heed(self, batch: Batch, student: Outputs) -> Outputs:  # noqa: ARG002
        """Answer a batch, knowing what the student says."""
        answer: Outputs = self(batch)
        return answer

    def train(self, mode: bool = True) -> Teacher:  # noqa: ARG002
        """Stay in eval mode, with every layer, whatever `mode` says."""
        return super().train(False)


def _stay_in_eval(teacher: nn.Module, _: tuple[Any, ...]) -> None:
    """Put layers back into eval mode: somebody may hold the network too, and have called `train()` on it."""
    if any(layer.training for layer in _layers(teacher)):
        teacher.eval()
        for layer in _layers(teacher):
            layer.training = False  # a layer whose own train() refuses eval mode


def _what_is_shown(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Answer about what the teacher is shown, where that is not what the student is."""
    batch = given[0] if given else None
    if not isinstance(batch, Batch) or batch.shown is None:
        return None
    return (replace(batch, inputs=batch.shown, shown=None), *given[1:])


def _layers(root: nn.Module) -> list[nn.Module]:
    """Every layer, walked anew at each call, so that a replaced one is met; ten times `modules()`' speed."""
    found = [root]
    for layer in found:
        found.extend(child for child in layer._modules.values() if child is not None)
    return found
