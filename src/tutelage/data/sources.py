"""Sources: batches by example number."""

from __future__ import annotations

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
    default_collate,
)

from tutelage.data.batches import as_batch, check_labels, tensors_in
from tutelage.data.random import normal, own_draws
from tutelage.errors import DataError, TutelageWarning
from tutelage.types import UNLABELLED, Batch, map_tensors

__all__ = ["Examples", "Items", "Noise", "Source", "Subset", "Unlabelled", "source_of"]


class Source(ABC):
    """Examples that are asked for by number, 0 … len − 1.

    Attributes:
        draws: whether reading an example may draw from the global random generators.
    """

    draws: bool = False

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, in this order."""

    @property
    def labels(self) -> Tensor | None:
        """All labels, where they are known without reading each example."""
        return None

    @property
    def weights(self) -> Tensor | None:
        """How often each example is drawn for training, in proportion; None for once an epoch.

        A source that shows another one's examples in another way draws them as that one does.
        """
        inner = getattr(self, "source", None)
        return inner.weights if isinstance(inner, Source) and len(inner) == len(self) else None

    def examples_of(self, ids: Tensor) -> Tensor:
        """Which independent example items with these ids are of; a text's are its documents."""
        return ids

    def fingerprint(self) -> str:
        """A hash of the content: of everything where it lies in memory, of eight examples elsewhere."""
        spread = sorted({round(i * (len(self) - 1) / 7) for i in range(8)})
        digest = hashlib.sha256(str(len(self)).encode())
        with own_draws(0):
            batch = self.batch(spread)
        for tensor in tensors_in((batch.inputs, batch.labels)):
            digest.update(_bytes(tensor))
        return digest.hexdigest()


class Examples(Source):
    """Examples in memory.

    Args:
        inputs: a tensor, or a mapping of tensors, first axis N.
        labels: shape [N], a tree of tensors with first axes N, or None.
        prepare: applied to the inputs of each batch (scaling of stored bytes, say).
        num_classes: if given, labels are checked against it.
        where: what to call this in messages.
    """

    def __init__(
        self,
        inputs: Any,
        labels: Any = None,
        *,
        prepare: Callable[[Any], Any] | None = None,
        num_classes: int | None = None,
        where: str = "the data",
    ) -> None:
        sizes = {len(tensor) for tensor in tensors_in((inputs, labels))}
        if len(sizes) != 1:
            raise DataError(f"{where} has tensors of lengths {sorted(sizes)}; inputs and labels must agree")
        (self._length,) = sizes
        if self._length == 0:
            raise DataError(f"{where} is empty; at least one example is needed")
        if num_classes is not None:
            check_labels(labels, num_classes, where=where)
        self.inputs, self._labels, self._prepare = inputs, labels, prepare

    def __len__(self) -> int:
        return self._length

    @property
    def labels(self) -> Tensor | None:
        """All labels; none of a tree, which cannot be counted by class."""
        return self._labels if isinstance(self._labels, Tensor) else None

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers; an example's id is its number."""
        ids = torch.as_tensor(numbers, dtype=torch.int64)
        inputs = map_tensors(self.inputs, lambda t: t[ids])
        return Batch(
            inputs=inputs if self._prepare is None else self._prepare(inputs),
            ids=ids,
            labels=map_tensors(self._labels, lambda held: held[ids]),
        )

    def fingerprint(self) -> str:
        """The SHA-256 of all inputs and labels."""
        digest = hashlib.sha256()
        for tensor in tensors_in((self.inputs, self._labels)):
            digest.update(_bytes(tensor))
        return digest.hexdigest()


class Items(Source):
    """A map-style data set of a user's, with its collate function.

    Args:
        dataset: has `__len__` and `__getitem__`; `__getitems__` is used where it is there.
        collate: items -> a batch that `as_batch` reads.
        num_classes: if given, each batch's labels are checked against it.
        where: what to call this in messages.
        weights: how often each example is drawn for training, in proportion; None for once an epoch.
    """

    draws = True

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[list[Any]], Any] = default_collate,
        *,
        num_classes: int | None = None,
        where: str = "the data",
        weights: Tensor | None = None,
    ) -> None:
        self._weights = weights
        if len(dataset) == 0:
            raise DataError(f"{where} is empty; at least one example is needed")
        self.dataset, self.collate, self.num_classes, self.where = dataset, collate, num_classes, where

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def weights(self) -> Tensor | None:
        """Those of the sampler that the user's loader has."""
        return self._weights

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, collated; an example's id is its number."""
        numbers = [int(number) for number in numbers]
        many = getattr(self.dataset, "__getitems__", None)
        items = many(numbers) if callable(many) else [self.dataset[number] for number in numbers]
        batch = as_batch(self._collated(items, numbers), torch.tensor(numbers, dtype=torch.int64))
        if self.num_classes is not None:
            check_labels(batch.labels, self.num_classes, where=self.where)
        return batch

    def _collated(self, items: list[Any], numbers: Sequence[int]) -> Any:
        try:
            return self.collate(items)
        except (RuntimeError, TypeError, KeyError, ValueError) as error:
            shapes = [[list(tensor.shape) for tensor in tensors_in(item)] for item in items]
            other = next((n for n, shape in enumerate(shapes) if shape != shapes[0]), None)
            said = str(error).strip().splitlines()[0]
            if other is not None:
                said = (
                    f"item {numbers[0]} holds tensors of shapes {shapes[0]}, and item {numbers[other]} of "
                    f"{shapes[other]}"
                )
            raise DataError(
                f"items of {self.where} cannot be put into one batch: {said}. Make them alike (images of one "
                "size and number of channels), or give a DataLoader with a collate_fn"
            ) from error


class Subset(Source):
    """Some examples of another source; they keep their ids."""

    def __init__(self, source: Source, numbers: Sequence[int], *, where: str = "the subset") -> None:
        self.source, self.numbers = source, torch.as_tensor(numbers, dtype=torch.int64)
        self.draws = source.draws
        if len(self.numbers) == 0:
            raise DataError(f"{where} is empty; at least one example is needed")

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def labels(self) -> Tensor | None:
        """The labels of these examples."""
        held = self.source.labels
        return None if held is None else held[self.numbers]

    @property
    def weights(self) -> Tensor | None:
        """Those of these examples."""
        held = self.source.weights
        return None if held is None else held[self.numbers]

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers within the subset."""
        return self.source.batch(self.numbers[torch.as_tensor(numbers, dtype=torch.int64)].tolist())

    def examples_of(self, ids: Tensor) -> Tensor:
        """Those of the whole source."""
        return self.source.examples_of(ids)

    def fingerprint(self) -> str:
        """The whole source's hash, together with the numbers."""
        return hashlib.sha256(self.source.fingerprint().encode() + _bytes(self.numbers)).hexdigest()


class Unlabelled(Source):
    """Another source whose labels are hidden, except for some of its examples."""

    def __init__(self, source: Source, labelled: Sequence[int] = ()) -> None:
        self.source, self.draws = source, source.draws
        self.keeps = torch.zeros(len(source), dtype=torch.bool)
        self.keeps[torch.as_tensor(labelled, dtype=torch.int64)] = True

    def __len__(self) -> int:
        return len(self.source)

    @property
    def labels(self) -> Tensor | None:
        """The labels, `UNLABELLED` where they are hidden."""
        held = self.source.labels
        return None if held is None else torch.where(self.keeps, held, UNLABELLED)

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, with the labels that may be seen."""
        batch = self.source.batch(numbers)
        if batch.labels is None:
            return batch
        kept = self.keeps[torch.as_tensor(numbers, dtype=torch.int64)]
        return replace(batch, labels=torch.where(kept, batch.labels, UNLABELLED))

    def examples_of(self, ids: Tensor) -> Tensor:
        """Those of the whole source."""
        return self.source.examples_of(ids)

    def fingerprint(self) -> str:
        """The whole source's hash, together with what is hidden."""
        return hashlib.sha256(self.source.fingerprint().encode() + _bytes(self.keeps)).hexdigest()


class Noise(Source):
    """Another source whose inputs are replaced by noise: what a student learns from labels' shares alone.

    Each example keeps its label, its id and the shape of its inputs, which become standard normal numbers
    that depend on the id alone.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.draws = source, source.draws

    def __len__(self) -> int:
        return len(self.source)

    @property
    def labels(self) -> Tensor | None:
        """Those of the source."""
        return self.source.labels

    def batch(self, numbers: Sequence[int]) -> Batch:
        """The examples of these numbers, made of noise."""
        batch = self.source.batch(numbers)

        def drawn(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point():
                return tensor
            noise = normal(batch.ids, tensor[0].numel(), seed=0, draw=f"noise {list(tensor.shape[1:])}")
            return noise.to(tensor.dtype).view_as(tensor)

        return replace(batch, inputs=map_tensors(batch.inputs, drawn))

    def examples_of(self, ids: Tensor) -> Tensor:
        """Those of the whole source."""
        return self.source.examples_of(ids)


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
    if isinstance(data, tuple) and data and all(isinstance(part, Tensor | np.ndarray) for part in data):
        tensors = [torch.as_tensor(part) for part in data]
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


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
