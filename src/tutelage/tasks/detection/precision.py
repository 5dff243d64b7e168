"""Average precision of boxes: which of them find a thing, and how far down a ranking they stand."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tutelage.types import UNLABELLED

__all__ = ["average_precision", "box_iou", "find_things"]


def box_iou(boxes: Float[Tensor, "*n a 4"], others: Float[Tensor, "*n b 4"]) -> Float[Tensor, "*n a b"]:
    """The intersection of each two boxes over their union (IoU), 0 … 1; that of empty boxes is 0.

    Args:
        boxes, others: left, top, right, bottom.

    Example:
        >>> box = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        >>> box_iou(box, box + torch.tensor([1.0, 0.0, 1.0, 0.0])).item()  # 2 of 6
        0.3333333432674408
    """
    low = torch.maximum(boxes[..., :, None, :2], others[..., None, :, :2])
    high = torch.minimum(boxes[..., :, None, 2:], others[..., None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    union = _area(boxes)[..., :, None] + _area(others)[..., None, :] - common
    return torch.where(union > 0, common / union.clamp(min=1e-12), 0)


def find_things(
    scores: Float[Tensor, "n c k"],
    boxes: Float[Tensor, "n k 4"],
    true_boxes: Float[Tensor, "n m 4"],
    true_classes: Int[Tensor, "n m"],
    *,
    least: float = 0.5,
) -> Bool[Tensor, "n c k"]:
    """Say which boxes find a thing: a class's boxes in an image, the surest first, take one thing each.

    A box takes the thing of its class that it covers best among those that are left, if the two have an IoU
    of `least` or more; else it finds nothing.

    Args:
        scores: how sure each class is of each box.
        boxes: those of an image, for all classes.
        true_boxes, true_classes: what is there; `UNLABELLED` where there are fewer things.
        least: the IoU that is enough.

    Source: Lin et al., Microsoft COCO, 2014, and its evaluation code: the best among the things that are
    left, not the best of all.
    """
    overlap = box_iou(boxes, true_boxes)
    classes = torch.arange(scores.shape[1], device=scores.device).view(1, -1, 1)
    free = (true_classes[:, None] == classes) & (true_classes[:, None] != UNLABELLED)
    hits = torch.zeros_like(scores, dtype=torch.bool)
    images = torch.arange(len(scores), device=scores.device).view(-1, 1)
    for place in scores.argsort(dim=-1, descending=True, stable=True).unbind(-1):
        covered, thing = overlap[images, place].masked_fill(~free, -1).max(-1)
        found = covered >= least
        hits.scatter_(-1, place[..., None], found[..., None])
        free = free & ~_taken(thing, free.shape[-1], found)
    return hits


def average_precision(
    scores: Float[Tensor, "c n"], hits: Bool[Tensor, "c n"], totals: Int[Tensor, " c"]
) -> Float[Tensor, " c"]:
    """The area under precision over recall of each class (AP), 0 … 1; NaN for a class without a thing.

    Boxes are ranked by their scores, equals in the order in which they come. The precision at a recall is the
    greatest at that recall or a higher one.

    Args:
        scores: how sure a class is of each box.
        hits: whether the box finds a thing of that class.
        totals: how many things of the class there are.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, 2015, section 4.1: all recalls, as
    from 2010 on.

    Example:
        >>> scores, hits = torch.tensor([[0.9, 0.8, 0.7]]), torch.tensor([[True, False, True]])
        >>> print(f"{average_precision(scores, hits, torch.tensor([2])).item():.4f}")  # (1 + 2/3) / 2
        0.8333
    """
    ranked = hits.gather(1, scores.argsort(dim=1, descending=True, stable=True)).double()
    rank = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    precision = ranked.cumsum(1) / rank
    best = precision.flip(1).cummax(1).values.flip(1)
    return (best * ranked).sum(1) / totals.where(totals > 0, torch.nan)


def _taken(thing: Tensor, count: int, found: Tensor) -> Tensor:
    """True for the thing that was found."""
    return torch.nn.functional.one_hot(thing, count).bool() & found[..., None]


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)
