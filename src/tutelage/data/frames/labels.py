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

__all__ = ["known_labels", "read_labels"]

_SHOWN = 10


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
    known = _known(first, classes)
    if first is None or known is None or first.ndim == 2:
        return {where: None if one is None else _numbers(one) for where, one in held.items()}, (
            known if first is None else None
        )
    found = {where: None if one is None else _places(one, known, where) for where, one in held.items()}
    return found, [str(one) for one in known]


def _known(labels: np.ndarray[Any, Any] | None, classes: Sequence[Any] | None) -> list[Any] | None:
    """The classes in order, where they are words, or whole numbers of the teacher's that are not 0, 1, …"""
    own = [np.asarray(one).item() for one in classes or ()]
    words = all(isinstance(one, str) for one in own)
    if labels is None:
        return None if not own or own == list(range(len(own))) else [str(one) for one in own]
    if labels.dtype == object:
        return sorted({*labels[_there(labels)].tolist(), *(own if words else ())})
    if words or any(one != int(one) for one in own) or own == list(range(len(own))):
        return None
    return sorted(map(int, own)) if {*labels[_there(labels)].ravel().tolist()} <= {*own} else None


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
    words = np.empty(len(column), dtype=object)
    words[:] = [str(value) if there else None for value, there in zip(column, column.notna(), strict=True)]
    return words


def _several(came: Any, where: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(came, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the labels of {where} are several columns, and not all are numbers") from error


def _there(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if labels.dtype == object:
        return np.array([one is not None for one in labels], dtype=bool)
    return np.asarray(~np.isnan(labels))


def known_labels(known: Sequence[Any]) -> str:
    """The end of a sentence about a label that is not known: those that are, or what so many may mean."""
    if known and all(_is_number(one) for one in known):
        return (
            f"; its {len(known):,} labels are numbers written as words, such as {known[0]!r}. To learn "
            "numbers make them such: pandas.to_numeric(frame[name])"
        )
    more = f" and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else ""
    return f"; it knows {', '.join(map(str, known[:_SHOWN]))}{more}"


def _is_number(word: Any) -> bool:
    try:
        float(word)
    except (TypeError, ValueError):
        return False
    return isinstance(word, str)


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
            f"{where} has the label {unknown[0]!r}, which the training data does not have"
            + known_labels(known)
        )
    place = {name: number for number, name in enumerate(known)}
    return torch.tensor([place[one] if held else UNLABELLED for one, held in zip(labels, there, strict=True)])
