"""A gradient through the teacher to what it is asked about: the part that schemes which make inputs share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.teachers import Frozen, Teacher
from tutelage.types import Batch, Outputs

__all__ = ["answer_with_gradient", "let_through", "logits_of"]


def let_through(teacher: Teacher) -> None:
    """Let gradient reach what a teacher is asked about; its parameters still get none."""
    for member in teacher.modules():
        if isinstance(member, Frozen):
            member.input_gradient = True


def answer_with_gradient(teacher: Teacher, batch: Batch) -> Outputs:
    """The teacher's answer to a batch, refused where no gradient passes through to the inputs.

    Raises:
        ModelError: none passes, or the answer has no logits.
    """
    with torch.enable_grad():
        asked = replace(batch, inputs=batch.inputs.detach().requires_grad_())
        answer: Outputs = teacher(asked)
    if not logits_of(answer, "teacher").requires_grad:
        raise ModelError(
            f"no gradient passes through {type(teacher).__name__} to what it is asked about, and the inputs "
            "are made by it; give a frozen network, none remembered, stored, or a predictor"
        )
    return answer


def logits_of(outputs: Outputs, who: str) -> Tensor:
    """The logits of an answer, by which inputs are made.

    Raises:
        ModelError: it has none.
    """
    if outputs.logits is None:
        raise ModelError(
            f"the {who} answers without logits, by which inputs are made; give one that has them"
        )
    return outputs.logits
