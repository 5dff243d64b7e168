"""The projector that a pair of features needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.errors import ModelError
from tutelage.projectors.conv import Conv
from tutelage.projectors.linear import Linear

__all__ = ["fit"]


def fit(student: Tensor, teacher: Tensor) -> nn.Module | None:
    """Choose the projector from a student's feature to a teacher's, seen in a dry run.

    Args:
        student: the student's feature for some batch.
        teacher: the teacher's for the same batch.

    Shapes:
        student, teacher: [N, features], [N, length, features] or [N, channels, height, width]. N may differ.

    Returns:
        None when the shapes beyond the batch axis agree; `Linear` for vectors, and for sequences of one
        length; `Conv` for maps. It lies on the student's device, in float32 (float64 for a float64 student).

    Raises:
        ModelError: a pair that neither fits: maps against tokens, sequences of different lengths.

    Example:
        >>> fit(torch.zeros(2, 64), torch.zeros(2, 256))
        Linear(
          (map): Linear(in_features=64, out_features=256, bias=True)
        )
        >>> fit(torch.zeros(2, 5, 8), torch.zeros(2, 5, 8)) is None
        True
    """
    if student.ndim > 0 and student.shape[1:] == teacher.shape[1:]:
        return None
    dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
    return _projector(student, teacher).to(device=student.device, dtype=dtype)


def _projector(student: Tensor, teacher: Tensor) -> nn.Module:
    vectors = student.ndim == teacher.ndim == 2
    tokens = student.ndim == teacher.ndim == 3 and student.shape[1] == teacher.shape[1]
    if vectors or tokens:
        return Linear(in_features=student.shape[-1], out_features=teacher.shape[-1])
    if student.ndim == teacher.ndim == 4:
        here, there = tuple(student.shape[2:]), (teacher.shape[2], teacher.shape[3])
        size = None if here == there else there
        return Conv(in_channels=student.shape[1], out_channels=teacher.shape[1], size=size)
    raise ModelError(
        f"no projector fits a student's feature of shape {tuple(student.shape)} to a teacher's of shape "
        f"{tuple(teacher.shape)}. Expected two vectors [N, D], two sequences [N, L, D] of one length, or "
        "two maps [N, C, H, W]. Name other layers, or give your own projector: a module from the one shape "
        "to the other."
    )
