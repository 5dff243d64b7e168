"""A teacher of many classes that answers about some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from tutelage.errors import ModelError
from tutelage.teachers.members import as_teacher, checked_logits
from tutelage.teachers.teacher import Teacher
from tutelage.types import Batch, Outputs

__all__ = ["SomeClasses"]


class SomeClasses(Teacher):
    """Answers with the logits of some of a teacher's classes, in the student's order.

    The student's probabilities are then matched with the teacher's given that it is one of these classes.

    Args:
        teacher: a teacher, or a network.
        classes: for each class of the student the teacher's number of it, from 0, each once.

    Shapes:
        batch: as the teacher takes it.
        returns: logits [N, …, classes], and the layers that are watched.

    Raises:
        ModelError: fewer than two classes, one twice or below 0; when called, one that the teacher lacks, or
            a teacher that gives few of its logits.

    Example:
        >>> from tutelage.teachers import Function
        >>> wide = Function(lambda _: torch.tensor([[5.0, 6.0, 7.0]]))
        >>> SomeClasses(wide, [2, 0])(Batch(inputs=torch.zeros(1, 1), ids=torch.arange(1))).logits
        tensor([[7., 5.]])
    """

    def __init__(self, teacher: Teacher | nn.Module, classes: Sequence[int]) -> None:
        super().__init__()
        held = [int(one) for one in classes]
        if len(held) < 2 or len(set(held)) < len(held) or min(held) < 0:
            raise ModelError(
                f"classes came as {held}; for each class of the student the teacher's number of it is "
                "expected, from 0, each once"
            )
        self.teacher, self.classes = as_teacher(teacher), held

    def forward(self, batch: Batch) -> Outputs:
        """Answer about these classes."""
        answer: Outputs = self.teacher(batch)
        logits = checked_logits(answer, 0, None)
        if max(self.classes) >= logits.shape[-1]:
            raise ModelError(
                f"classes names the teacher's class {max(self.classes)}, and it has {logits.shape[-1]}, "
                "numbered from 0"
            )
        index = torch.tensor(self.classes, device=logits.device)
        return replace(answer, logits=logits.index_select(-1, index))

    def watch(self, layers: Sequence[str]) -> None:
        """Show layers of the teacher."""
        self.teacher.watch(layers)

    def stages(self, batch: Batch) -> list[str]:
        """Those of the teacher."""
        return self.teacher.stages(batch)
