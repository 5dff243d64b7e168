"""Frames that come to `distill`, read and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.data import split
from tutelage.data.frames import Columns, Encoding, FrameRows, Table, is_frame, read_labels
from tutelage.data.frames.columns import as_pandas
from tutelage.errors import DataError, RecipeError, nearest
from tutelage.runs.frames import Frames

__all__ = ["read_frames", "refuse_labels_apart"]

_USUAL = ("label", "labels", "target", "targets", "class", "y")
_FEW = 8  # labels that a column may equal by chance


def read_frames(
    train: Any,
    validation: Any,
    test: Any,
    *,
    target: str | Sequence[str] | None,
    preprocessing: Any,
    teacher: Any,
) -> Frames | None:
    """Splits of frames; None where the training data is none.

    Args:
        train, validation, test: a frame, or (frame, labels); without a validation a tenth of `train` is
            taken.
        target: the column of labels, or several of numbers, where they are in the frame.
        preprocessing: a transformer in place of the usual one, or None.
        teacher: by whose classes whole numbers are told.

    Raises:
        DataError: frames that cannot be read, or that do not fit one another.
        RecipeError: a target or a preprocessing without a frame.
    """
    first = train[0] if isinstance(train, tuple) and train else train
    if not is_frame(first):
        given = {"target": target, "preprocessing": preprocessing}
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise RecipeError(
                f"{named[0]} is for frames of pandas or polars, and train came as {type(train).__name__}; "
                "leave it out, or give a frame"
            )
        return None
    refuse_labels_apart(train, validation)
    came = {"train": train, "validation": validation, "test": test}
    parts = {where: _parts(data, target, where) for where, data in came.items() if data is not None}
    if len({type(frame).__module__.partition(".")[0] for frame, _ in parts.values()}) > 1:
        raise DataError("the splits are frames of pandas and polars; give all as one of them")
    labels, classes = read_labels({w: held for w, (_, held) in parts.items()}, classes=_classes_of(teacher))
    frames = {where: frame for where, (frame, _) in parts.items()}
    _check_labels(frames, labels)
    if validation is None:
        frames, labels = _with_validation(frames, labels)
    encoding = Encoding.fit(frames["train"], preprocessing, classes=classes)
    raw = {w: encoding.columns.select(frame, where=w) for w, frame in frames.items()}
    rows = {w: encoding(frame, where=w) for w, frame in raw.items()}
    table = Table(list(raw.values()))
    starts = dict(zip(raw, table.starts, strict=True))
    made = {w: FrameRows(raw[w], rows[w], labels[w], start=starts[w], where=w) for w in raw}
    return Frames(made["train"], made["validation"], made.get("test"), classes, encoding, table)


def refuse_labels_apart(train: Any, validation: Any) -> None:
    """Refuse labels of the training data that came in the place of validation data.

    Raises:
        DataError: a column, as long as the training data.
    """
    column = getattr(validation, "ndim", 1 if isinstance(validation, list) else 0) == 1
    if getattr(train, "ndim", 2) == 1:
        return
    if (
        isinstance(train, tuple)
        or not column
        or not hasattr(train, "__len__")
        or len(validation) != len(train)
    ):
        return
    if isinstance(validation, list) and not all(isinstance(one, int | float | str) for one in validation):
        return
    raise DataError(
        f"validation came as a {type(validation).__name__} of {len(train):,}, as long as train; if these "
        "are the labels of train, give both as a tuple: distill(teacher, student, (inputs, labels))"
    )


def _parts(data: Any, target: str | Sequence[str] | None, where: str) -> tuple[Any, Any]:
    """A frame of features, and labels or None."""
    if isinstance(data, tuple):
        if target is not None:
            raise DataError(
                f"{where} came as a tuple with labels, and target={target!r} names a column for them; give "
                "one of them"
            )
        if len(data) != 2:
            raise DataError(f"{where} came as a tuple of {len(data)}; expected (frame, labels)")
        frame, labels = data
        Columns.of(frame, where=where)
        return frame, _aligned(frame, labels, where)
    held = list(Columns.of(data, where=where).kinds)
    names = [target] if isinstance(target, str) else list(target or ())
    missing = [name for name in names if name not in held]
    if missing:
        raise DataError(f"{where} has no column {missing[0]!r} for target; {_those(missing[0], held)}")
    usual = [name for name in held if name.lower() in _USUAL]
    if not names and usual:
        raise DataError(
            f"{where} has a column {usual[0]!r}, which may be the labels; say target={usual[0]!r}, or rename "
            "it or leave it out if it is none"
        )
    features = data[[name for name in held if name not in names]]
    if not names:
        return features, None
    return features, data[names[0]] if isinstance(target, str) else data[names]


def _those(name: str, held: Sequence[str], most: int = 12) -> str:
    """The nearest of some columns, and all of them where they are few."""
    near = nearest(name, held)
    close = f"nearest: {', '.join(map(repr, near))}; " if near else ""
    few = ", ".join(held[:most]) + (f" and {len(held) - most} others" if len(held) > most else "")
    return f"{close}it has {few}"


def _aligned(frame: Any, labels: Any, where: str) -> Any:
    """Labels beside a frame, once it is known that each row has one, of its own."""
    if labels is None:
        return None
    if not hasattr(labels, "__len__") or len(labels) != len(frame):
        count = len(labels) if hasattr(labels, "__len__") else "no"
        raise DataError(f"{where} has {len(frame)} rows and {count} labels; give one for each row")
    pandas_both = all(type(one).__module__.startswith("pandas") for one in (frame, labels))
    if pandas_both and hasattr(labels, "index") and not frame.index.equals(labels.index):
        raise DataError(
            f"the labels of {where} have another index than its frame, and pandas would pair them otherwise "
            "than row by row; give labels.loc[frame.index], or labels.to_numpy() if the rows are in one order"
        )
    if getattr(labels, "name", None) in list(frame.columns):
        raise DataError(
            f"the labels of {where} are called {labels.name!r}, and the frame has a column of that name: the "
            "student would read its labels; drop the column, or say target= in place of the labels"
        )
    return labels


def _check_labels(frames: Mapping[str, Any], labels: Mapping[str, Tensor | None]) -> None:
    """Refuse labels that one split has and another has not, and labels that are a feature as well."""
    lacking = [where for where, held in labels.items() if held is None]
    if lacking and len(lacking) < len(labels):
        raise DataError(
            f"{lacking[0]} has no labels, and other splits have; give labels for all, or for none"
        )
    held = labels["train"]
    if held is None or held.ndim > 1 or len(held) < _FEW:
        return
    frame = as_pandas(frames["train"])
    for name, kind in Columns.of(frame).kinds.items():
        if kind not in ("number", "word") or not bool(frame[name].notna().all()):
            continue
        if kind == "number" and not np.isfinite(np.asarray(frame[name], dtype=np.float64)).all():
            continue
        found, _ = read_labels({"train": frame[name]})
        same = found["train"]
        if same is not None and same.dtype == held.dtype and bool((same == held).all()):
            raise DataError(
                f"the column {name!r} of train is the labels, row by row: the student would read what it is "
                "to learn; leave it out"
            )


def _with_validation(
    frames: Mapping[str, Any], labels: Mapping[str, Tensor | None]
) -> tuple[dict[str, Any], dict[str, Tensor | None]]:
    frame, held = frames["train"], labels["train"]
    rest, part = split(len(frame), 0.1, labels=held)
    numbers = {"train": rest, "validation": part}
    cut = {w: frame[n] if not hasattr(frame, "iloc") else frame.iloc[n] for w, n in numbers.items()}
    cut_labels = {w: None if held is None else held[torch.tensor(n)] for w, n in numbers.items()}
    others = {w: one for w, one in frames.items() if w != "train"}
    return cut | others, cut_labels | {w: labels[w] for w in others}


def _classes_of(teacher: Any) -> Sequence[Any] | None:
    """The classes that a teacher, or the first of several that knows, tells apart."""
    for one in teacher if isinstance(teacher, list | tuple) else [teacher]:
        held = getattr(one, "classes_", None)
        if held is not None and hasattr(one, "predict_proba"):
            return list(held)
    return None
