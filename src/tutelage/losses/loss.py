"""The small base of all losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tutelage.layout import Layout
from tutelage.types import HeadLogits, Moment, SparseLogits, map_tensors

__all__ = ["Loss"]

_ARGUMENTS = ("teacher", "labels", "ids", "mask")


class Loss(nn.Module):
    """What is matched: a module from tensors to one scalar, the mean over the unmasked items of a batch.

    The signature of `forward` says what a loss needs: `student` first, then any of `teacher`, `labels`,
    `ids` and `mask`, by these names and in this order. A caller reads it from `needs`. A subclass detaches
    the teacher, blanks what is masked, and takes its hyperparameters as keywords of `__init__`.

    A loss with parameters of its own (a generator, a fusion, an embedding) learns their shapes from `fit`,
    which is called once with tensors of a dry run; they are trained beside the student.

    Tensors made under `torch.inference_mode` may not be kept for a backward pass: called outside of it, a
    loss copies those that it gets, before `forward` sees them (compiled, torch raises its own error).

    Attributes:
        place: where it looks: "logits", the classes on the last axis, or "features", tensors of a layer.
        layouts: the shapes that it takes, by the names of `tutelage.layout`.
        same_shape: true where student and teacher must have one shape, so that a projector is fitted.
        joins_layers: true where `student` and `teacher` are tuples, one tensor for each of several layers.
        by_example: true where an item is always an example: one counts if any of its positions does.
        learns: true where `fit` must be called before `forward`.
        draws: true where `forward` draws random numbers.
        targets: what labels are: "classes", an index for each item; "shares" of each class; "several", yes or
            no for each class; or "values", a number for each of the student's.
        least_at_teacher: whether a student that equals the teacher has the least loss, and that is 0.
        compares_items: whether items are compared with one another, so that the loss of a batch is not the
            sum of those of its micro-batches.
        reads_heads: whether student and teacher may come as `HeadLogits`, of logits not computed yet.
        reads_sparse: whether the teacher may come as `SparseLogits`, of whom few classes are known.
        any_widths: whether student and teacher may have other classes, and other numbers of them.
        needs: the arguments of `forward` after `student`.

    Raises:
        TypeError: a subclass's `forward` takes other arguments, or another order.

    Example:
        >>> class MeanGap(Loss):
        ...     place = "features"
        ...
        ...     def forward(self, student, teacher):
        ...         return (student - teacher.detach()).abs().mean()
        >>> sorted(MeanGap.needs)
        ['teacher']
    """

    place: ClassVar[Literal["logits", "features"]]
    layouts: ClassVar[tuple[Layout, ...]] = ("vectors", "tokens")
    same_shape: ClassVar[bool] = False
    joins_layers: ClassVar[bool] = False
    by_example: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    targets: ClassVar[Literal["classes", "shares", "several", "values"]] = "classes"
    least_at_teacher: ClassVar[bool] = True
    compares_items: ClassVar[bool] = False
    reads_heads: ClassVar[bool] = False
    reads_sparse: ClassVar[bool] = False
    any_widths: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()

    forward: Callable[..., Tensor]

    def __init__(self) -> None:
        super().__init__()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """The loss of a batch; what was made under `torch.inference_mode` is copied first."""
        if not (torch.compiler.is_compiling() or torch.is_inference_mode_enabled()):
            args = tuple(map(_savable, args))
            kwargs = {name: _savable(held) for name, held in kwargs.items()}
        value: Tensor = super().__call__(*args, **kwargs)
        return value

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read `needs` from the signature of `forward`, once, where the class is defined."""
        super().__init_subclass__(**kwargs)
        if cls.forward is not Loss.forward:
            cls.needs = _read_needs(cls)

    def fit(self, student: Any, teacher: Any) -> None:
        """Make the parameters that depend on the shapes of a dry run; a loss without any does nothing.

        Args:
            student: what `forward` will get as `student`: a tensor, or a tuple of them (`joins_layers`).
            teacher: likewise.
        """

    def begin(self, moment: Moment) -> None:
        """Take up how far the training is, before each step; most losses do not care."""


def _savable(value: Any) -> Any:
    """What autograd may keep for a backward pass: the very same, or copies where it may not keep a tensor."""
    if isinstance(value, Tensor):
        return value.clone() if value.is_inference() else value
    if value is None:
        return None
    if isinstance(value, HeadLogits | SparseLogits):
        held = {each.name: getattr(value, each.name) for each in fields(value)}
        copies = {name: _savable(part) for name, part in held.items()}
        return replace(value, **copies) if any(copies[name] is not held[name] for name in held) else value
    found: list[bool] = []

    def savable(tensor: Tensor) -> Tensor:
        found.append(tensor.is_inference())
        return tensor.clone() if found[-1] else tensor

    copied = map_tensors(value, savable)
    return copied if any(found) else value


def _read_needs(cls: type[Loss]) -> frozenset[str]:
    first, *others = list(inspect.signature(cls.forward).parameters)[1:] or [""]
    if first != "student" or others != [name for name in _ARGUMENTS if name in others]:
        raise TypeError(
            f"{cls.__name__}.forward came with arguments {[first, *others]}; expected are 'student', "
            f"then any of {list(_ARGUMENTS)} in this order: put hyperparameters into __init__"
        )
    return frozenset(others)
