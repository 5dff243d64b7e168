"""Classes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from tutelage.data import load_tables, values_of
from tutelage.errors import RecipeError
from tutelage.tasks.classification import choose_column, class_names_of, classes, three_parts
from tutelage.tasks.problem import Problem
from tutelage.tasks.vision.augment import Augment
from tutelage.tasks.vision.domain import Domain, new_domain
from tutelage.tasks.vision.images import Scale, image_source, pixels_of

__all__ = ["classification"]

_IMAGE = ("image", "img", "images", "pixel_values")
_LABEL = ("label", "labels", "fine_label", "target", "class")


def classification(
    *,
    data: str,
    config: str | None = None,
    image: str | None = None,
    label: str | None = None,
    size: int | None = None,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    domain: Mapping[str, Any] | None = None,
    watch: Sequence[int] = (),
    lessons: Sequence[Sequence[int]] = (),
    lesson_given: bool = False,
    seed: int = 0,
) -> Problem:
    """Images of one size, each with one class.

    Args:
        data: `sklearn.digits`, a local folder or Parquet file, or a name on the hub.
        config: the configuration of a hub set.
        image, label: the columns; found by their usual names.
        size: height and width in pixels to bring each image to; None leaves them as they are.
        train: the share or number of training images to keep, drawn by class; None keeps all.
        validation, test: the share or number of training images to draw where the set has no such split.
        mean, std: one number for each channel, for pixels of 0 to 1; 0.5 each by default.
        domain: a new domain, such as `{shift: 4}`, `{invert: true}` or `{colour: true}`: a share of the
            training images is changed so and loses its labels, and the test split is changed as a whole;
            see `Domain`. Grey images get three channels where they are painted.
        watch: classes whose recall is reported by itself.
        lessons: parts of the classes that stages learn one after another, [[0, 1], [2, 3]]; each is measured
            after every stage.
        lesson_given: compare the classes of an example's own lesson alone, as if its head were chosen for it
            (task-incremental); else all classes compete (class-incremental).
        seed: of the splits.
    """
    tables = load_tables(data, config=config)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    image = choose_column(table, image, "image", _IMAGE)
    label = choose_column(table, label, "label", _LABEL)
    names = class_names_of(table, label)
    first = pixels_of(next(values_of(table, image)), size)
    moved = None if domain is None else Domain.of(domain)
    channels = 3 if moved is not None and moved.colour else len(first)
    for name, values in (("mean", mean), ("std", std)):
        if values and len(values) != channels:
            raise RecipeError(f"{name} has {len(values)} numbers, and the images have {channels} channels")
    if moved is not None and moved.colour and len(first) not in (1, 3):
        raise RecipeError(f"task.domain.colour needs images of 1 or 3 channels; these have {len(first)}")

    top = 255.0 if first.dtype == torch.uint8 else _top(table, image)
    mean, std = list(mean or [0.5] * channels), list(std or [0.5] * channels)
    read = partial(
        image_source,
        image=image,
        label=label,
        size=size,
        top=top,
        mean=mean,
        std=std,
        num_classes=len(names),
    )
    parts = three_parts(
        tables,
        lambda part, where: read(part, where=where),
        train=train,
        validation=validation,
        test=test,
        seed=seed,
    )
    if moved is not None:
        parts = new_domain(moved, Scale(top, mean, std), *parts)
    return classes(
        *parts,
        class_names=names,
        watch=watch,
        lessons=lessons,
        lesson_given=lesson_given,
        augment=Augment.of,
        network_options={
            "num_classes": len(names),
            "in_channels": channels,
            "in_features": first[0].numel() * channels,
        },
        preparation={
            "kind": "image",
            "channels": channels,
            "height": first.shape[1],
            "width": first.shape[2],
            "mean": mean,
            "std": std,
        },
    )


def _top(table: Any, image: str) -> float:
    """The brightest value of images that are stored as floats."""
    return max(float(pixels_of(value).max()) for value in table[image])
