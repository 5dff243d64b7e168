"""The labels of a frame: words, whole numbers, numbers and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data.frames.columns import as_pandas, kind_of
from tutelage.errors import DataError
from tutelage.types import UNLABELLED

__all__ = ["read_labels"]


def read_labels(
    came: Mapping[str, Any], *, classes: Sequence[Any] | None = None
) -> tuple[dict[str, Tensor | None], list[str] | None]:
    """Labels as tensors, and the words that classes 0, 1, … stand for.

    Args:
        came: by split, the training split first: a column, an array, a list, a frame of several columns of
            numbers, or None.
        classes: those that the teacher tells apart, where it says so. Whole numbers that are its classes, and
            are not 0, 1, …, are read as words are.

    Returns:
        by split, places of words [rows] with `UNLABELLED` for gaps, whole numbers [rows] without any, numbers
        [rows] or [rows, several] with NaN for gaps, or None; and the words, or None where classes are numbers
        from 0 or there are none.

    Raises:
        DataError: labels of another kind, gaps alone, or a word that the training split does not have.
    """
    held = {where: None if labels is None else _read(labels, where) for where, labels in came.items()}
    first = next(iter(held.values()))
    if first is None or first.ndim == 2:
        return {where: None if one is None else _numbers(one) for where, one in held.items()}, None
    own = _own_classes(first, classes)
    if first.dtype != object and own is None:
        return {where: None if one is None else _numbers(one) for where, one in held.items()}, None
    known = sorted({*first[_there(first)].tolist()} | {*(own or [])})
    return {where: None if one is None else _places(one, known, where) for where, one in held.items()}, [
        str(one) for one in known
    ]


def _own_classes(labels: np.ndarray[Any, Any], classes: Sequence[Any] | None) -> list[Any] | None:
    """The teacher's classes, where they are whole numbers, hold the labels, and are not 0, 1, …"""
    if classes is None or labels.dtype == object:
        return None
    own = [np.asarray(one).item() for one in classes]
    whole = all(isinstance(one, int | float) and one == int(one) for one in own)
    if not whole or own == list(range(len(own))) or not {*labels[_there(labels)].tolist()} <= {*own}:
        return None
    return [int(one) for one in own]


def _read(came: Any, where: str) -> np.ndarray[Any, Any]:
    """Words with None for gaps, or numbers with NaN."""
    import pandas

    if isinstance(came, Tensor):
        came = came.detach().cpu().numpy()
    came = as_pandas(came)
    if getattr(came, "ndim", 1) == 2:
        return _several(came, where)
    try:
        column = pandas.Series(came).reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"the labels of {where} came as {type(came).__name__}; give a column") from error
    column.name = "labels" if column.name is None else column.name
    kind = kind_of(column, where)
    if kind == "empty":
        raise DataError(f"the labels of {where} are gaps alone; leave them out, or give some")
    if kind == "date":
        raise DataError(f"the labels of {where} are dates; give numbers, such as days, or words")
    if kind == "number":
        if column.dtype == object:
            column = column.map(lambda value: np.nan if pandas.isna(value) else float(value))
        numbers = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
        if np.isinf(numbers).any():
            raise DataError(f"the labels of {where} hold infinite numbers; give numbers, or gaps")
        return numbers
    return np.asarray(column.astype(object).where(column.notna(), None).map(_word).to_numpy(dtype=object))


def _word(value: Any) -> str | None:
    return None if value is None or value != value else str(value)


def _several(came: Any, where: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(came, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the labels of {where} are several columns, and not all are numbers") from error


def _there(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if labels.dtype == object:
        return np.array([one is not None for one in labels], dtype=bool)
    return np.asarray(~np.isnan(labels))


def _numbers(labels: np.ndarray[Any, Any]) -> Tensor:
    """Whole numbers as such, where there are no gaps; others with NaN for gaps."""
    if labels.dtype == object:
        raise DataError("the splits have labels of different kinds, words and numbers; give all of one kind")
    whole = labels.ndim == 1 and bool(np.isfinite(labels).all() and (labels == np.round(labels)).all())
    return torch.from_numpy(labels.astype(np.int64) if whole else labels.copy())


def _places(labels: np.ndarray[Any, Any], known: Sequence[Any], where: str) -> Tensor:
    there = _there(labels)
    unknown = sorted({*labels[there].tolist()} - {*known}, key=str)
    if unknown:
        raise DataError(
            f"{where} has the label {unknown[0]!r}, which the training data does not have; it knows "
            f"{', '.join(map(str, known))}"
        )
    place = {name: number for number, name in enumerate(known)}
    return torch.tensor([place[one] if held else UNLABELLED for one, held in zip(labels, there, strict=True)])
