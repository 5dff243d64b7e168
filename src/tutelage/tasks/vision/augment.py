"""Changes of training images, random by example and epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.data import uniform
from tutelage.errors import RecipeError, UnknownName
from tutelage.types import Batch

__all__ = ["Augment"]


class Augment:
    """Shift and mirror images; edges are repeated outwards.

    Args:
        jitter: the largest shift in pixels, drawn for each axis.
        flip: mirror every second image, left to right.
    """

    def __init__(self, *, jitter: int = 0, flip: bool = False) -> None:
        if jitter < 0:
            raise RecipeError(f"jitter is {jitter} pixels; expected 0 or more")
        self.jitter, self.flip = jitter, flip

    def __repr__(self) -> str:
        return f"Augment(jitter={self.jitter}, flip={self.flip})"

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Augment:
        """The augmentation that a recipe describes."""
        for name in settings:
            if name not in ("jitter", "flip"):
                raise UnknownName("augmentation", name, ["jitter", "flip"])
        return cls(**settings)  # type: ignore[arg-type]

    def __call__(self, batch: Batch, view: int) -> Batch:
        """The batch as seen in `view`; the same view of an example is the same image."""
        images: Tensor = batch.inputs
        if self.jitter:
            images = self._shifted(images, batch.ids, view)
        if self.flip:
            mirrored = uniform(batch.ids, seed=view, draw="flip") < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        return replace(batch, inputs=images)

    def _shifted(self, images: Tensor, ids: Tensor, view: int) -> Tensor:
        rows = self._places(images.shape[-2], ids, view, "down")
        columns = self._places(images.shape[-1], ids, view, "right")
        number = torch.arange(len(images), device=ids.device)[:, None, None]
        moved = images.movedim(1, -1)[number, rows[:, :, None], columns[:, None, :]]
        return moved.movedim(-1, 1).contiguous()

    def _places(self, size: int, ids: Tensor, view: int, draw: str) -> Tensor:
        """Where each pixel of an axis comes from, shape [N, size]."""
        shift = (uniform(ids, seed=view, draw=draw) * (2 * self.jitter + 1)).long() - self.jitter
        return (torch.arange(size, device=ids.device) + shift[:, None]).clamp(0, size - 1)
