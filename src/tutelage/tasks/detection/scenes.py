"""Pictures of several things: small images, pasted on a dark canvas at places that depend on its number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tutelage.data import Examples, uniform
from tutelage.errors import DataError
from tutelage.types import UNLABELLED

__all__ = ["draw_scenes"]

_SLOTS = 3  # along each side; a slot holds the middle of one thing at most


def draw_scenes(
    images: Float[Tensor, "things side side"],
    classes: Int[Tensor, " things"],
    *,
    count: int,
    canvas: int,
    most: int,
    seed: int,
    where: str,
) -> Examples:
    """Make pictures of 1 to `most` things each.

    A thing is an image of seven eighths to five quarters of its size, at whole pixels. Which ones, how large
    and where depends on the picture's number, the seed and the name of the part alone. No two have their
    middles in the same ninth of the canvas; where they overlap, the brighter pixel is seen.

    Args:
        images: what is pasted, from 0 (dark) to 1.
        classes: of the images.
        count: how many pictures.
        canvas: height and width of a picture in pixels.
        most: things in a picture, at most.
        seed: of the draws.
        where: the name of the part, for the draws and for messages.

    Returns:
        inputs [N, 1, canvas, canvas]; labels `boxes` [N, most, 4], left, top, right and bottom as shares of
        the canvas, and `classes` [N, most], filled up with `UNLABELLED`.

    Raises:
        DataError: things that do not fit on the canvas, or more of them than ninths.
    """
    side = images.shape[-1]
    if not 1 <= most <= _SLOTS**2 or side * 5 // 4 > canvas or count < 1:
        raise DataError(
            f"{count} pictures of {canvas} × {canvas} pixels with up to {most} things of {side} × {side} "
            f"each were asked for; expected at least one, with 1 to {_SLOTS**2} things that fit even if they "
            "are a quarter larger: change task.scenes, task.canvas or task.most"
        )
    ids = torch.arange(count)

    def drawn(what: str) -> Tensor:
        return uniform(ids, seed=seed, draw=f"{where} {what}")

    held = (drawn("count") * most).long() + 1
    slots = torch.stack([drawn(f"slot {n}") for n in range(_SLOTS**2)], 1).argsort(1)
    pictures = torch.zeros(count, canvas, canvas)
    boxes = torch.full((count, most, 4), float(UNLABELLED))
    labels = torch.full((count, most), UNLABELLED)
    copies = {size: _resized(images, size) for size in range(side * 7 // 8, side * 5 // 4 + 1)}
    least, kinds = min(copies), len(copies)
    for n in range(most):
        thing = (drawn(f"thing {n}") * len(images)).long()
        size = (drawn(f"size {n}") * kinds).long() + least
        left = _place(slots[:, n] % _SLOTS, size, drawn(f"left {n}"), canvas)
        top = _place(slots[:, n] // _SLOTS, size, drawn(f"top {n}"), canvas)
        for k in (held > n).nonzero().squeeze(-1).tolist():
            s, x, y = int(size[k]), int(left[k]), int(top[k])
            part = pictures[k, y : y + s, x : x + s]
            torch.maximum(part, copies[s][thing[k]], out=part)
            boxes[k, n] = torch.tensor([x, y, x + s, y + s]) / canvas
            labels[k, n] = classes[thing[k]]
    return Examples(pictures.unsqueeze(1), {"boxes": boxes, "classes": labels}, where=where)


def _resized(images: Tensor, size: int) -> Tensor:
    held = F.interpolate(images.double().unsqueeze(1), (size, size), mode="bilinear", align_corners=False)
    return held.squeeze(1).float()


def _place(slot: Tensor, size: Tensor, drawn: Tensor, canvas: int) -> Tensor:
    """The first pixel of things whose middle lies in their slot, and which lie on the canvas."""
    width, half = canvas / _SLOTS, size / 2
    low = (slot * width - half).ceil().clamp(min=0)
    high = torch.minimum(((slot + 1) * width - half).ceil() - 1, canvas - size)
    return (low + (drawn * (high - low + 1)).floor()).long()
