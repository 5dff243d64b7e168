"""The mask, the denominator and the chunks, written once.

One denominator: each loss is the mean over the unmasked items of its batch. The engine multiplies the loss
of a micro-batch by that micro-batch's share of the unmasked items of the global batch, so that micro-batches
and ranks of unequal size add up to the loss of the whole. An item is an example, or a position of one where
the mask says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tutelage.types import UNLABELLED

__all__ = [
    "beside_labels",
    "blank",
    "check_labels",
    "check_logits",
    "check_mask",
    "check_same_shape",
    "in_chunks",
    "labelled",
    "masked_mean",
    "spread",
    "widen",
]


def masked_mean(
    values: Float[Tensor, "items ..."], mask: Bool[Tensor, "items ..."] | None = None
) -> Float[Tensor, ""]:
    """Mean of `values` over the unmasked items: the one denominator.

    Axes of `values` beyond those of the mask belong to an item and are averaged first, so that each item
    weighs the same.

    Args:
        values: a loss for each item, or for each element of each item.
        mask: true where an item counts; None when all of them do.

    Shapes: values [items, ...], mask its leading axes -> a scalar, in float32 or wider. It is 0, with a zero
    gradient, when no item counts.

    Raises:
        ValueError: the mask is not boolean, or its shape is not the start of the shape of the values.

    Example:
        >>> values = torch.tensor([[1.0, 3.0], [7.0, 7.0]])
        >>> masked_mean(values, torch.tensor([True, False])).item()
        2.0
        >>> masked_mean(values, torch.tensor([False, False])).item()
        0.0
    """
    check_mask(mask, values.shape)
    values = widen(values)
    if mask is None:
        return values.sum() / max(values.numel(), 1)
    if values.ndim > mask.ndim:
        values = values.flatten(mask.ndim)
        values = values.sum(-1) / max(values.shape[-1], 1)
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def blank(
    mask: Bool[Tensor, "items ..."] | None, *tensors: Shaped[Tensor, "items ..."]
) -> tuple[Tensor, ...]:
    """Replace what masked items hold by zeros, before anything is computed from it.

    A mask applied to the *result* leaves 0 · NaN = NaN in the gradient when a masked item holds NaN or
    infinity; applied to the input, nothing in a masked item reaches the value or the gradient.

    Args:
        mask: true where an item counts; None when all of them do.
        tensors: inputs whose leading axes are those of the mask.

    Shapes: each tensor keeps its own.

    Raises:
        ValueError: the mask is not boolean, or does not fit a tensor.

    Example:
        >>> blank(torch.tensor([True, False]), torch.tensor([1.0, float("nan")]))
        (tensor([1., 0.]),)
    """
    for tensor in tensors:
        check_mask(mask, tensor.shape)
    if mask is None:
        return tensors
    return tuple(torch.where(spread(mask, tensor.shape), tensor, 0) for tensor in tensors)


def in_chunks(
    per_item: Callable[..., Tensor], *tensors: Shaped[Tensor, "items ..."] | None, size: int | None
) -> Float[Tensor, "items ..."]:
    """Apply a function of items along the first axis, so many at a time.

    With a large vocabulary the softmaxes of a batch take more memory than the networks. The intermediate
    tensors of a chunk are dropped after its forward pass and computed again in its backward pass, so those
    of one chunk only live at a time.

    Args:
        per_item: the function; its result for an item must not depend on the other items.
        tensors: its arguments, of equal length along the first axis; None is passed on as None.
        size: how many items at a time; the last chunk may be shorter. None: all at once, nothing recomputed.

    Shapes: [items, ...] each -> what `per_item` gives for all items.

    Raises:
        ValueError: `size` is below 1, or the lengths differ.

    Example:
        >>> in_chunks(lambda x: x * x, torch.arange(5.0), size=2)
        tensor([ 0.,  1.,  4.,  9., 16.])
    """
    lengths = {len(tensor) for tensor in tensors if tensor is not None}
    if len(lengths) != 1:
        raise ValueError(f"chunks came with lengths {sorted(lengths)}; pass tensors of one length")
    if size is None:
        return per_item(*tensors)
    if size < 1:
        raise ValueError(f"chunk size came as {size}; pass 1 or more, or None for no chunks")
    num_chunks = max(-(-lengths.pop() // size), 1)
    # One split has one backward node, which writes the gradient once; slices would each write all of it.
    pieces = [repeat(None, num_chunks) if tensor is None else torch.split(tensor, size) for tensor in tensors]
    results: list[Tensor] = [
        checkpoint(per_item, *piece, use_reentrant=False, preserve_rng_state=False)
        for piece in zip(*pieces, strict=True)
    ]
    return torch.cat(results)


def spread(mask: Bool[Tensor, "items ..."], shape: Sequence[int]) -> Bool[Tensor, "items ..."]:
    """View a mask as one of the given shape: axes that it does not have share its value.

    Args:
        mask: its shape is the start of `shape`.
        shape: the shape to view it in.

    Example:
        >>> spread(torch.tensor([True, False]), (2, 2))
        tensor([[ True,  True],
                [False, False]])
    """
    return mask.reshape(*mask.shape, *[1] * (len(shape) - mask.ndim)).expand(*shape)


def widen(tensor: Tensor) -> Tensor:
    """Give the tensor in float32; float64 stays float64.

    Sums over classes lose most of their digits in bfloat16, and overflow in float16.

    Example:
        >>> widen(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def check_mask(mask: Tensor | None, shape: Sequence[int]) -> None:
    """Refuse a mask that is not boolean, or whose shape is not the start of `shape`."""
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"the mask came as {mask.dtype}; a boolean one is expected: pass mask.bool()")
    if mask.ndim == 0 or tuple(mask.shape) != tuple(shape[: mask.ndim]):
        raise ValueError(
            f"the mask came with shape {list(mask.shape)} for items of shape {list(shape)}; "
            "its axes must be the first axes of the items: pass [items] or [items, length]"
        )


def check_same_shape(student: Tensor, teacher: Tensor, *, advice: str) -> None:
    """Refuse a student and a teacher of unequal shapes; `advice` says what to do."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student came with shape {list(student.shape)} and the teacher with {list(teacher.shape)}; "
            f"equal shapes are expected: {advice}"
        )


def check_logits(student: Tensor, teacher: Tensor | None = None) -> None:
    """Refuse logits that have not two or three axes, and a teacher of another shape."""
    if student.ndim < 2:
        raise ValueError(
            f"logits came with shape {list(student.shape)}; "
            "[items, classes] or [items, length, classes] is expected: add the missing axis"
        )
    if student.ndim > 3:
        raise ValueError(
            f"logits came with shape {list(student.shape)}; [items, classes] or [items, length, classes] is "
            "expected, classes last: of pixels [N, C, H, W] pass logits.flatten(2).mT, and labels.flatten(1)"
        )
    if teacher is not None:
        check_same_shape(student, teacher, advice="give both the same items and classes (cut the larger one)")


def labelled(
    labels: Shaped[Tensor, "*items"], mask: Bool[Tensor, "*masked"] | None
) -> Bool[Tensor, "*items"]:
    """True where an item has a label and counts.

    Example:
        >>> labelled(torch.tensor([3, UNLABELLED, 1]), torch.tensor([True, True, False]))
        tensor([ True, False, False])
    """
    has_label = labels != UNLABELLED
    return has_label if mask is None else has_label & spread(mask, labels.shape)


def check_labels(student: Tensor, labels: Tensor) -> None:
    """Refuse labels that are not one class index for each item of the logits."""
    if labels.shape != student.shape[:-1]:
        raise ValueError(
            f"labels came with shape {list(labels.shape)} for logits of shape {list(student.shape)}; "
            f"one label for each item is expected: pass shape {list(student.shape[:-1])}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"labels came as {labels.dtype}; class indices are expected: pass labels.long()")


def beside_labels(
    student: Float[Tensor, "*items classes"],
    teacher: Float[Tensor, "*items classes"],
    labels: Shaped[Tensor, "*items"],
    mask: Bool[Tensor, "*masked"] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Check and clean what a loss on logits and labels works with.

    Returns:
        Where an item has a label and counts; the student's and the teacher's logits, in float32 or wider and
        zero elsewhere; the labels with a class axis of one, zero elsewhere.

    Raises:
        ValueError: shapes differ, labels are not integers, or the mask does not fit.

    Example:
        >>> logits, labels = torch.ones(2, 3), torch.tensor([2, UNLABELLED])
        >>> counts, _, _, label = beside_labels(logits, logits, labels, None)
        >>> counts.tolist(), label.tolist()
        ([True, False], [[2], [0]])
    """
    check_logits(student, teacher)
    check_labels(student, labels)
    check_mask(mask, labels.shape)
    counts = labelled(labels, mask)
    student, teacher = blank(counts, student, teacher.detach())
    return counts, widen(student), widen(teacher), torch.where(counts, labels, 0).long().unsqueeze(-1)
