"""Columns of texts and of their labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.data import load_tables
from tutelage.errors import DataError, UnknownName
from tutelage.tasks.classification import class_names_of
from tutelage.types import UNLABELLED

__all__ = ["LABEL", "PAIR", "TEXT", "classes_in", "read_splits", "texts_of", "values_in"]

TEXT = ("text", "sentence", "sentence1", "premise", "question", "question1", "content", "review")
PAIR = ("pair", "sentence2", "hypothesis", "question2")
LABEL = ("label", "labels", "class", "target", "score")
"""The usual names of columns."""

_SPLITS = ("train", "validation", "test")
_NOBODY = -1
"""What hub sets write for a label that is kept secret."""


def read_splits(
    data: str | Mapping[str, str], *, config: str | None = None, splits: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The tables of a data set, by split.

    Args:
        data: see `load_tables`, or such a place for each split.
        config: the configuration of a hub set.
        splits: `train`, `validation` or `test` -> the split of the data that it is; a split that stands for
            another one serves for nothing else.

    Raises:
        UnknownName: a split that is not there.
        DataError: nothing can be read.

    Example:
        >>> sorted(read_splits("sklearn.iris", splits={"train": "train"}))
        ['train']
    """
    if isinstance(data, Mapping):
        found = {name: _one_place(place, name, config) for name, place in _named(data).items()}
    else:
        found = load_tables(data, config=config)
    if not splits:
        return found
    for came in _named(splits).values():
        if came not in found:
            raise UnknownName("split", came, found, hint="It came in task.splits.")
    others = {name: table for name, table in found.items() if name not in (*splits, *splits.values())}
    return others | {name: found[came] for name, came in splits.items()}


def texts_of(table: Any, column: str) -> list[str]:
    """A column of texts.

    Raises:
        DataError: it holds something else.
    """
    rows = table[column][:]
    for number, row in enumerate(rows):
        if not isinstance(row, str):
            raise DataError(
                f"the column {column!r} holds {row!r} in row {number}, and text was expected; name another "
                "with task.text= or task.pair=, or fill it in"
            )
    return list(rows)


def classes_in(table: Any, column: str) -> tuple[list[str], Callable[[Any], Tensor]]:
    """The classes of a training table, and what reads any table's labels as their numbers.

    Args:
        table: whose labels are whole numbers, truth values or words; words are numbered in alphabetical
            order. No label, and −1 as hub sets write it, is none.
        column: of the labels.

    Raises:
        DataError: labels that are none of these.
        UnknownName: when reading, a word that training does not have.
    """
    if getattr(table.features[column], "names", None):
        return class_names_of(table, column), lambda other: _numbers(other, column)
    held = [one for one in table[column][:] if one is not None]
    if not held:
        raise DataError(f"the label column {column!r} holds no label; name another with task.label=<column>")
    if isinstance(held[0], str):
        names = sorted(set(map(str, held)))
        places = {name: number for number, name in enumerate(names)}
        return names, lambda other: _by_word(other, column, places)
    if isinstance(held[0], bool):
        return ["false", "true"], lambda other: _numbers(other, column)
    return class_names_of(table.filter(_has_label(column)), column), lambda other: _numbers(other, column)


def values_in(table: Any, column: str) -> Tensor:
    """A column of numbers, [n, 1]; NaN where one is missing.

    Raises:
        DataError: it holds something else.
    """
    rows = table[column][:]
    try:
        held = [float("nan") if row is None else float(row) for row in rows]
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the label column {column!r} is not made of numbers ({error}); leave regression out for classes"
        ) from error
    return torch.tensor(held, dtype=torch.float32).unsqueeze(-1)


def _has_label(column: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row[column] is not None and row[column] != _NOBODY


def _numbers(table: Any, column: str) -> Tensor:
    rows: Sequence[Any] = table[column][:]
    wrong = next((row for row in rows if row is not None and not isinstance(row, int)), None)
    if wrong is not None:
        raise DataError(f"the label column {column!r} holds {wrong!r}, and whole numbers were expected")
    return torch.tensor([UNLABELLED if row in (None, _NOBODY) else int(row) for row in rows])


def _by_word(table: Any, column: str, places: Mapping[str, int]) -> Tensor:
    found = []
    for row in table[column][:]:
        if row is not None and row not in places:
            raise UnknownName("label", str(row), places, hint="Training has no example of it.")
        found.append(UNLABELLED if row is None else places[row])
    return torch.tensor(found)


def _named(came: Mapping[str, str]) -> Mapping[str, str]:
    for name in came:
        if name not in _SPLITS:
            raise UnknownName("split", name, _SPLITS)
    return came


def _one_place(place: str, name: str, config: str | None) -> Any:
    tables = load_tables(place, config=config)
    if name not in tables and len(tables) > 1:
        raise UnknownName("split", name, tables, hint=f"It is looked for in {place}.")
    return tables.get(name, next(iter(tables.values())))
