"""A source from what a user has."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from tutelage.data.sources import Examples, Items, Source
from tutelage.errors import DataError, TutelageWarning

__all__ = ["source_of"]


def source_of(data: Any, *, where: str) -> tuple[Source, DataLoader[Any] | None]:
    """A source from what a user has: a source, tensors or arrays, a data set or a `DataLoader`.

    Returns:
        the source, and the loader it was taken from (for its batch size and workers), if any.

    Raises:
        DataError: the data is of another kind, or cannot be asked for by number, so that its order could not
            be repeated.
    """
    if isinstance(data, Source):
        return data, None
    if isinstance(data, DataLoader):
        if any(map(_is_frame, _parts(data.dataset))):
            raise DataError(
                f"{where} is a DataLoader of a frame, which it cannot read by rows; give the frame itself, "
                "or (frame, labels), and batch_size beside it"
            )
        if isinstance(data.dataset, IterableDataset) or not _plain_order(data):
            raise DataError(
                f"{where} is a DataLoader over a stream or with a sampler of its own, and both the student "
                "and its control must see the same examples in the same order. Give the map-style data set "
                "itself, or a DataLoader with shuffle=True or False, or with a WeightedRandomSampler that "
                "draws as many examples as there are"
            )
        if data.drop_last:
            said = (
                f"{where} is a DataLoader with drop_last=True, which is not followed: each epoch holds every "
                "example, and one that is left alone joins the batch before it"
            )
            warnings.warn(said, TutelageWarning, stacklevel=3)
        return Items(data.dataset, data.collate_fn, where=where, weights=_drawn_by(data)), data
    if isinstance(data, tuple) and data and all(map(_is_array, data)):
        tensors = [_tensor(part, n, len(data), where) for n, part in enumerate(data)]
        *inputs, labels = tensors if len(tensors) > 1 else (*tensors, None)
        return Examples(inputs[0] if len(inputs) == 1 else tuple(inputs), labels, where=where), None
    if isinstance(data, list) and 1 < len(data) < 6 and all(isinstance(p, Tensor | np.ndarray) for p in data):
        shapes = ", ".join(str(list(part.shape)) for part in data)
        raise DataError(
            f"{where} came as a list of {len(data)} tensors ({shapes}), which reads as a data set of so many "
            "examples; give (inputs, labels) as a tuple, or a data set whose items are tuples"
        )
    if type(data).__module__.partition(".")[0] == "datasets" and hasattr(data, "with_format"):
        data = data if data.format["type"] else data.with_format("torch")  # lists in columns become tensors
    indexed = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if indexed and not isinstance(data, str | bytes | tuple | Mapping):
        return Items(data, where=where), None
    came = (
        f"({', '.join(type(part).__name__ for part in data)})"
        if isinstance(data, tuple)
        else type(data).__name__
    )
    raise DataError(
        f"{where} came as {came}; expected a DataLoader, a data set with __len__ and "
        "__getitem__, or a tuple of tensors or arrays (inputs, labels)"
    )


def _parts(data: Any) -> tuple[Any, ...]:
    return data if isinstance(data, tuple) else (data,)


def _is_frame(part: Any) -> bool:
    return hasattr(part, "columns") and hasattr(part, "dtypes")


def _is_array(part: Any) -> bool:
    """Tensors, arrays, and what turns into one, such as a column of pandas; not a frame."""
    held = hasattr(part, "__array__") and hasattr(part, "shape") and not hasattr(part, "columns")
    return isinstance(part, Tensor | np.ndarray) or held


def _tensor(part: Any, number: int, count: int, where: str) -> Tensor:
    """Numbers as a tensor; an array of objects too, where all of them are numbers."""
    if isinstance(part, Tensor):
        return part
    array = np.asarray(part)
    if array.dtype.kind in "OUS":
        labels = count > 1 and number == count - 1
        try:
            array = array.astype(np.float64 if labels else np.float32)
        except (TypeError, ValueError) as error:
            advice = (
                "; give numbers, or words alone"
                if labels
                else ", and a network reads numbers. Of a frame give the frame itself, not its .values: "
                "its words are encoded then; other words turn into numbers first"
            )
            what = "labels" if labels else "inputs"
            raise DataError(f"the {what} of {where} came as an array of {_content(array)}{advice}") from error
    return torch.as_tensor(array)


def _content(array: np.ndarray[Any, Any]) -> str:
    """What an array of objects holds, by its first word."""
    word = next((one for one in array.reshape(-1).tolist() if isinstance(one, str | bytes)), None)
    if word is None:
        return f"objects, such as a {type(array.reshape(-1)[0]).__name__}"
    return f"words, such as {word!r}"


def _plain_order(loader: DataLoader[Any]) -> bool:
    sampler = loader.sampler
    once = type(sampler) is RandomSampler and not sampler.replacement and len(sampler) == len(loader.dataset)  # type: ignore[arg-type]
    told = once or type(sampler) is SequentialSampler or _drawn_by(loader) is not None
    return loader.batch_size is not None and told


def _drawn_by(loader: DataLoader[Any]) -> Tensor | None:
    """The weights of a loader that draws as many examples as there are, with replacement."""
    sampler: Any = loader.sampler
    if type(sampler) is not WeightedRandomSampler or not sampler.replacement:
        return None
    if not len(sampler.weights) == len(sampler) == len(loader.dataset):  # type: ignore[arg-type]
        return None
    weights: Tensor = sampler.weights.double()
    return weights
