"""A new domain: images that are changed by a name, of which no label is to be seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tutelage.data import Over, Source, Unlabelled, split, uniform
from tutelage.errors import RecipeError, UnknownName
from tutelage.tasks.vision.images import Scale
from tutelage.types import Batch

__all__ = ["Domain", "Moved", "new_domain"]

_CHANGES = ("invert", "shift", "colour")


@dataclass(frozen=True)
class Domain:
    """What makes a new domain of images; what is drawn is drawn by id, so that an example is always the same.

    Args:
        share: of the training images that are of the new domain, above 0 and below 1; drawn by class, and
            their labels are hidden.
        invert: swap black and white.
        shift: the largest move in pixels, drawn for each axis; edges are repeated outwards.
        colour: paint what is bright in one colour and what is dark in another; the first has one channel
            that is full, the second at most half of each. Needs three channels.
        seed: of what is drawn.

    Raises:
        RecipeError: no change, or a number out of range.
    """

    share: float = 0.5
    invert: bool = False
    shift: int = 0
    colour: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.invert or self.shift or self.colour):
            raise RecipeError(
                f"task.domain names no change; give one or more of {', '.join(_CHANGES)}, such as shift: 4"
            )
        if not isinstance(self.shift, int) or self.shift < 0:
            raise RecipeError(f"task.domain.shift came as {self.shift!r} pixels; expected 0 or more")
        if not 0 < self.share < 1:
            raise RecipeError(f"task.domain.share came as {self.share!r}; expected above 0 and below 1")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Domain:
        """The domain that a recipe describes."""
        if not isinstance(settings, Mapping):
            raise RecipeError(
                f"task.domain came as {settings!r}; expected a mapping, such as {{invert: true}}"
            )
        for name in settings:
            if name not in cls.__dataclass_fields__:
                raise UnknownName("key of task.domain", name, cls.__dataclass_fields__)
        return cls(**settings)

    def change(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Images of 0 to 1, as they are in the new domain.

        Args:
            pixels: [N, C, H, W].
            ids: of the examples, [N].
        """
        if self.shift:
            pixels = self._shifted(pixels, ids)
        if self.invert:
            pixels = 1 - pixels
        return self._painted(pixels, ids) if self.colour else pixels

    def _shifted(self, pixels: Tensor, ids: Tensor) -> Tensor:
        across = 2 * self.shift + 1
        for axis, draw in ((2, "down"), (3, "right")):
            far = (uniform(ids, seed=self.seed, draw=f"domain {draw}") * across).long() - self.shift
            size = pixels.shape[axis]
            places = (torch.arange(size, device=ids.device) + far[:, None]).clamp(0, size - 1)
            shape = (len(ids), 1, size, 1) if axis == 2 else (len(ids), 1, 1, size)
            pixels = pixels.gather(axis, places.view(shape).expand_as(pixels))
        return pixels

    def _painted(self, pixels: Tensor, ids: Tensor) -> Tensor:
        drawn = [
            torch.stack([uniform(ids, seed=self.seed, draw=f"{what} {n}") for n in range(3)], 1)
            for what in ("bright", "dark")
        ]
        bright, dark = drawn[0] / drawn[0].amax(1, keepdim=True).clamp(min=1e-6), drawn[1] / 2
        bright, dark = (each.to(pixels)[:, :, None, None] for each in (bright, dark))
        return dark + (bright - dark) * pixels


class Moved(Over):
    """Another source, of which some images are of a new domain.

    Args:
        source: of images, as `scale` leaves them.
        domain: what changes.
        scale: what brought pixels to the numbers of the source.
        numbers: which examples of the source; None for all.
    """

    def __init__(
        self, source: Source, domain: Domain, scale: Scale, numbers: Sequence[int] | None = None
    ) -> None:
        super().__init__(source)
        self.domain, self.scale = domain, scale
        self.moved = torch.zeros(len(source), dtype=torch.bool)
        self.moved[slice(None) if numbers is None else torch.as_tensor(numbers)] = True

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, each in its domain."""
        batch = self.source.batch(numbers)
        new = self.moved[torch.as_tensor(numbers, dtype=torch.int64)].nonzero().flatten()
        if not len(new):
            return batch
        changed = self.domain.change(self.scale.undone(batch.inputs[new]), batch.ids[new])
        back = self.scale.unit(changed).to(batch.inputs)
        return replace(batch, inputs=batch.inputs.index_copy(0, new, back))


def new_domain(
    domain: Domain, scale: Scale, train: Source, validation: Source, test: Source
) -> tuple[Source, Source, Source]:
    """Training images of two domains, of which the new one has no labels; the test split is of the new one.

    Validation stays as it is, so that nothing is chosen by a label of the new domain.

    Args:
        domain: what changes.
        scale: of the sources' images.
        train, validation, test: the parts in the old domain.
    """
    old, new = split(len(train), domain.share, labels=train.labels, seed=domain.seed, name="domain")
    moved = Unlabelled(Moved(train, domain, scale, new), labelled=old)
    return moved, validation, Moved(test, domain, scale)
