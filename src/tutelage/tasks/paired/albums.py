"""Grey images of classes, in three parts, decoded when they are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import Examples, Source, values_of
from tutelage.errors import DataError
from tutelage.tasks.classification import labels_of, three_parts

__all__ = ["Album", "albums_of", "scaled_image"]

_SHARE = 0.1  # of the images, for a part that the data set does not have


class Album:
    """Rows of a table of grey images.

    Args:
        table: with the images.
        column: where they stand.
        rows: which of the table's rows.
        classes: of these rows, shape [rows].
    """

    def __init__(self, table: Any, column: str, rows: Tensor, classes: Tensor) -> None:
        self.table, self.column, self.rows, self.classes = table, column, rows, classes

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, places: Sequence[int]) -> Tensor:
        """The images at these places, in bytes, shape [N, height, width].

        Raises:
            DataError: they are no grey images of one size in bytes.
        """
        values = values_of(self.table, self.column, self.rows[list(places)])
        arrays = [np.asarray(value) for value in values]
        kinds = {(array.dtype.name, array.shape) for array in arrays}
        if len(kinds) != 1 or arrays[0].dtype != np.uint8 or arrays[0].ndim != 2:
            raise DataError(
                f"the column {self.column!r} holds images of {sorted(kinds)[:3]}; expected grey ones in "
                "bytes, [height, width], all of one size"
            )
        return torch.from_numpy(np.stack(arrays))


def albums_of(
    tables: Mapping[str, Any], image: str, label: str, *, pool: float | int | None, seed: int
) -> list[Album]:
    """Training, validation and test images; a part that is not there is drawn from the training ones.

    Args:
        tables: split -> table.
        image, label: the columns.
        pool: the share or number of training images to keep, drawn by class; None for all.
        seed: of the draws.
    """

    def rows(table: Any, where: str) -> Source:
        return Examples(torch.arange(len(table)), labels_of(table, label), where=f"{where} images")

    parts = three_parts(tables, rows, train=pool, validation=_SHARE, test=_SHARE, seed=seed)
    found = []
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        batch = part.batch(range(len(part)))
        found.append(Album(tables.get(name, tables["train"]), image, batch.inputs, batch.labels))
    return found


def scaled_image(pixels: Tensor) -> Tensor:
    """Bytes [N, height, width] -> one channel from −1 to 1, [N, 1, height, width]."""
    return pixels.unsqueeze(1).float() / 127.5 - 1
