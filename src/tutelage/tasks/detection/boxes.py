"""Boxes around small images on a canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, load_tables
from tutelage.errors import DataError
from tutelage.tasks.classification import choose_column, class_names_of, labels_of, three_parts
from tutelage.tasks.detection.exam import BoxExam
from tutelage.tasks.detection.scenes import draw_scenes
from tutelage.tasks.problem import Problem

__all__ = ["boxes"]

_IMAGE = ("image", "img", "images", "pixel_values")
_LABEL = ("label", "labels", "target", "class")


def boxes(
    *,
    data: str,
    config: str | None = None,
    image: str | None = None,
    label: str | None = None,
    scenes: int = 1000,
    canvas: int = 24,
    most: int = 3,
    validation: float | int = 0.15,
    test: float | int = 0.25,
    seed: int = 0,
) -> Problem:
    """Pictures made of small images, each of which is to be found: where it is, and what.

    The images are split first, so that no picture of one part shows an image of another. See `draw_scenes`
    for how a picture is made.

    Args:
        data: `sklearn.digits`, a local folder or Parquet file, or a name on the hub, of grey square images.
        config: the configuration of a hub set.
        image, label: the columns; found by their usual names.
        scenes: pictures to make of the training images; the other parts get as many for their images.
        canvas: height and width of a picture in pixels.
        most: things in a picture, at most.
        validation, test: the share or number of images to draw where the set has no such split.
        seed: of the splits and the pictures.
    """
    tables = load_tables(data, config=config)
    table = tables["train"] if "train" in tables else next(iter(tables.values()))
    image = choose_column(table, image, "image", _IMAGE)
    label = choose_column(table, label, "label", _LABEL)
    names = class_names_of(table, label)

    def read(part: Any, where: str) -> Source:
        pixels = _pixels(part, image)
        return Examples(pixels, labels_of(part, label), num_classes=len(names), where=where)

    parts = three_parts(tables, read, validation=validation, test=test, seed=seed)
    rows = [part.batch(range(len(part))) for part in parts]
    brightest = rows[0].inputs.max().clamp(min=1e-6)
    train, held, last = (
        draw_scenes(
            (row.inputs / brightest).clamp(0, 1),
            row.labels,
            count=round(scenes * len(row) / len(rows[0])),
            canvas=canvas,
            most=most,
            seed=seed,
            where=where,
        )
        for row, where in zip(rows, ("train", "validation", "test"), strict=True)
    )
    return Problem(
        train=train,
        validation=held,
        test=last,
        exam=BoxExam(len(names)),
        class_names=tuple(names),
        chance=0.0,  # an answer that does not look finds next to nothing
        network_options={"num_classes": len(names), "in_channels": 1},
    )


def _pixels(table: Any, column: str) -> Tensor:
    """A column of grey square images as [N, side, side]."""
    try:
        held = np.stack([np.asarray(value, dtype=np.float32) for value in table[column]])
    except (TypeError, ValueError) as error:
        raise DataError(f"the column {column!r} holds no images of one size ({error})") from error
    if held.ndim != 3 or held.shape[1] != held.shape[2]:
        raise DataError(
            f"the column {column!r} holds values of shape {held.shape[1:]}; grey images of equal height and "
            "width are expected. Name another column with task.image=<column>"
        )
    return torch.from_numpy(held)
