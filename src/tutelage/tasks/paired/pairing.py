"""Images put beside other examples of the same class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.data import uniform
from tutelage.errors import DataError, UnknownName
from tutelage.types import Batch

__all__ = ["Anew", "picks"]


def picks(ids: Tensor, classes: Tensor, held: Tensor, *, seed: int, draw: str) -> Tensor:
    """For each example a thing of its class, drawn from its id.

    Args:
        ids: of the examples, shape [N].
        classes: of the examples, shape [N].
        held: the class of each thing, shape [things].
        seed: changes every pick.
        draw: tells apart several draws.

    Returns:
        numbers of things, shape [N].

    Raises:
        DataError: there is no thing of a class.

    Example:
        >>> found = picks(torch.arange(4), torch.tensor([0, 1, 1, 0]), torch.tensor([1, 0]), seed=0, draw="x")
        >>> found.tolist()
        [1, 0, 0, 1]
    """
    order = held.argsort(stable=True)
    counts = torch.bincount(held, minlength=int(classes.max()) + 1)
    lacking = sorted({kind for kind in classes.tolist() if counts[kind] == 0})
    if lacking:
        raise DataError(f"there is no image of the classes {lacking} to pair with; give more images")
    first = counts.cumsum(0) - counts
    within = (uniform(ids, seed=seed, draw=draw) * counts[classes]).long()
    return order[first[classes] + within]


class Anew:
    """Another image beside each example in each epoch, of the example's class.

    Args:
        images: to draw from, in bytes, shape [things, height, width].
        held: their classes.
        classes: by the example's id, its class; it picks the image, and nothing else of it is shown.
        prepare: bytes of images -> what a network reads.
    """

    def __init__(
        self, images: Tensor, held: Tensor, classes: Tensor, prepare: Callable[[Tensor], Tensor]
    ) -> None:
        self.images, self.held, self.classes, self.prepare = images, held, classes, prepare

    def __repr__(self) -> str:
        return "Anew(images)"

    def of(self, settings: Mapping[str, object]) -> Anew:
        """The augmentation that a recipe describes: `{images: anew}`."""
        for name, value in settings.items():
            if name != "images":
                raise UnknownName("augmentation", name, ["images"])
            if value != "anew":
                raise UnknownName("value of augment.images:", str(value), ["anew"])
        return self

    def __call__(self, batch: Batch, view: int) -> Batch:
        """The batch as seen in `view`; the same view of a pair is the same image."""
        found = picks(batch.ids, self.classes[batch.ids], self.held, seed=view, draw="image")
        return replace(batch, inputs={**batch.inputs, "image": self.prepare(self.images[found])})
