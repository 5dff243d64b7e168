"""The student without its adapter as its teacher."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import nn

from tutelage.adapters import adapter_layers, without_adapter
from tutelage.capture import capture, check_layers
from tutelage.data import reading
from tutelage.errors import ModelError
from tutelage.modes import evaluating
from tutelage.stages import stages_of
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["WithoutAdapter"]


class WithoutAdapter(Teacher):
    """The student's own network with its adapter (LoRA) switched off, as it was before it began to learn.

    There is no second copy of the weights. Where labels teach the adapter something new, a term by this
    teacher holds it near what the network knew; after a change that leaves the adapter alone it is the
    network that the student was made of.

    Shapes:
        batch: as the student takes it.
        returns: the logits of the network without its adapter, and its layers by path.

    Raises:
        ModelError: asked without a student, or beside one that has no adapter.

    Source:
        Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1: what is frozen is
        there all along. Li and Hoiem 2017, "Learning without Forgetting", for what it is asked.
    """

    moves: ClassVar[bool] = True  # it stands beside a student, and that one's weights are its own

    def __init__(self) -> None:
        super().__init__()
        self.layers: tuple[str, ...] = ()
        self._student: tuple[nn.Module, ...] = ()  # a tuple keeps it out of the state dict

    def beside(self, student: nn.Module) -> Self:
        """A fresh one, that asks this student."""
        fresh = copy.copy(self)
        fresh._student = (student,)
        return fresh

    def watch(self, layers: Sequence[str]) -> None:
        """Add layers to the features of every later answer."""
        check_layers(self._held(), layers, who="teacher")
        self.layers = tuple(dict.fromkeys([*self.layers, *layers]))

    def stages(self, batch: Batch) -> list[str]:
        """Paths of the layers where the network's stages end."""
        with evaluating(self._held()):
            return stages_of(self._held(), reading(batch, self.reads).inputs)

    def forward(self, batch: Batch) -> Outputs:
        """Answer a batch."""
        student = self._held()
        if not adapter_layers(student):
            raise ModelError(
                f"the teacher is the student without its adapter, and {type(student).__name__} has none; "
                "give the student's transformers_causal lora: {r: 16}, or take a teacher frozen"
            )
        with torch.no_grad(), evaluating(student), without_adapter(student):
            return capture(student, reading(batch, self.reads).inputs, self.layers)

    def _held(self) -> nn.Module:
        if not self._student:
            raise ModelError(
                "WithoutAdapter asks the student, and stands beside none yet: give it to a scheme or to "
                "distill, or call its beside(student)"
            )
        return self._student[0]
