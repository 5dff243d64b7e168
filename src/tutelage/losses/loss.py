"""The small base of all losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

__all__ = ["Loss"]

_ARGUMENTS = ("teacher", "labels", "ids", "mask")


class Loss(nn.Module):
    """What is matched: a module from tensors to one scalar, the mean over the unmasked items of a batch.

    The signature of `forward` says what a loss needs: `student` first, then any of `teacher`, `labels`,
    `ids` and `mask`, by these names and in this order. A caller reads it from `needs`. A subclass detaches
    the teacher, blanks what is masked, and takes its hyperparameters as keywords of `__init__`.

    Attributes:
        place: where it looks: "logits", the classes on the last axis, or "features", tensors of a layer.
        same_shape: true where student and teacher must have one shape, so that a projector is fitted.
        least_at_teacher: whether a student that equals the teacher has the least loss, and that is 0.
        compares_items: whether items are compared with one another, so that the loss of a batch is not the
            sum of those of its micro-batches.
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
    same_shape: ClassVar[bool] = False
    least_at_teacher: ClassVar[bool] = True
    compares_items: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset()

    forward: Callable[..., Tensor]
    __call__: Callable[..., Tensor]

    def __init__(self) -> None:
        super().__init__()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Read `needs` from the signature of `forward`, once, where the class is defined."""
        super().__init_subclass__(**kwargs)
        if cls.forward is not Loss.forward:
            cls.needs = _read_needs(cls)


def _read_needs(cls: type[Loss]) -> frozenset[str]:
    first, *others = list(inspect.signature(cls.forward).parameters)[1:] or [""]
    if first != "student" or others != [name for name in _ARGUMENTS if name in others]:
        raise TypeError(
            f"{cls.__name__}.forward came with arguments {[first, *others]}; expected are 'student', "
            f"then any of {list(_ARGUMENTS)} in this order: put hyperparameters into __init__"
        )
    return frozenset(others)
