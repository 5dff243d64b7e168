"""Two questions about each image: its class, and how thick its strokes are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.data import Relabelled, Source
from tutelage.errors import DataError
from tutelage.tasks.classification import classes
from tutelage.tasks.heads import HeadsExam
from tutelage.tasks.problem import Problem
from tutelage.tasks.vision.classification import classification
from tutelage.tasks.vision.strokes import binned, even_edges, stroke_widths

__all__ = ["two_tasks"]

_CHUNK = 250  # images that are looked at together


def two_tasks(
    *,
    data: str,
    bins: int = 4,
    train: float | int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    judged: str | None = None,
    seed: int = 0,
) -> Problem:
    """Grey drawings with two labels each, for a network with two heads: `digit` and `stroke`.

    `digit` is the class that the data set has. `stroke` is how thick the strokes are, a number computed from
    the image (four times the mean distance of inked pixels from the nearest without ink), in bins between
    which the training images lie in equal numbers. A network answers with a mapping that has each head's
    logits by its name. Each task is also a part of the problem by itself, by which a teacher that knows no
    more is trained.

    Args:
        data: of grey images, light on dark: `sklearn.digits`, a local folder or Parquet file, or a name on
            the hub; as of `vision.classification`.
        bins: classes of stroke widths.
        train: the share or number of training images to keep, drawn by class; None keeps all.
        validation, test: the share or number of training images to draw where the set has no such split.
        mean, std: for pixels of 0 to 1; 0.5 by default.
        judged: the head that the verdict is about; the mean of both accuracies by default.
        seed: of the splits.

    Raises:
        DataError: images in colour, or strokes that are too much alike for so many bins.
    """
    digits = classification(
        data=data, train=train, validation=validation, test=test, mean=mean, std=std, seed=seed
    )
    if digits.network_options["in_channels"] != 1:
        raise DataError(f"{data!r} has images in colour; strokes are measured in grey ones")
    assert digits.test is not None
    middle = (0.5 - (mean or [0.5])[0]) / (std or [0.5])[0]
    parts = (digits.train, digits.validation, digits.test)
    widths = [_widths(part, middle) for part in parts]
    edges = even_edges(widths[0], bins)
    strokes = [binned(held, edges) for held in widths]
    pairs = list(zip(parts, strokes, strict=True))
    first, second, third = (Relabelled(part, held) for part, held in pairs)
    kept, held_out, last = (Relabelled(part, {"digit": part.labels, "stroke": held}) for part, held in pairs)
    stroke = classes(
        first,
        second,
        third,
        class_names=[f"below {edges[0]:.2f}", *(f"{low:.2f} and more" for low in edges)],
        augment=digits.augment,
        network_options={**digits.network_options, "num_classes": bins},
    )
    heads = {"digit": len(digits.class_names), "stroke": bins}
    return Problem(
        kept,
        held_out,
        last,
        exam=HeadsExam(heads, judged=judged),
        augment=digits.augment,
        network_options={"in_features": digits.network_options["in_features"], "heads": heads},
        parts={"digit": digits, "stroke": stroke},
    )


def _widths(source: Source, middle: float) -> Tensor:
    """The stroke widths of a source's images; a pixel has ink from half of white on."""
    numbers = range(len(source))
    chunks = (numbers[start : start + _CHUNK] for start in range(0, len(source), _CHUNK))
    return torch.cat([stroke_widths(source.batch(list(some)).inputs[:, 0] >= middle) for some in chunks])
