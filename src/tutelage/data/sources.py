"""Sources: batches by example number."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from tutelage.data.batches import as_batch, check_labels, tensors_in
from tutelage.data.random import own_draws
from tutelage.data.tokens import Convention, holds_tokens, pad_tokens
from tutelage.errors import DataError, first_line
from tutelage.types import Batch, map_tensors

__all__ = ["Examples", "Items", "Source", "Subset", "bytes_of"]


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
        """How often each example is drawn for training, in proportion; None for once an epoch."""
        return None

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
            digest.update(bytes_of(tensor))
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
    def as_they_are(self) -> bool:
        """Whether batches hold the inputs as they lie in memory."""
        return self._prepare is None

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
            digest.update(bytes_of(tensor))
        return digest.hexdigest()


class Items(Source):
    """A map-style data set of a user's, with its collate function.

    Args:
        dataset: has `__len__` and `__getitem__`; `__getitems__` is used where it is there.
        collate: items -> a batch that `as_batch` reads; by default torch's, and texts of unequal lengths
            (`input_ids`) are filled up on the right.
        num_classes: if given, each batch's labels are checked against it.
        where: what to call this in messages.
        weights: how often each example is drawn for training, in proportion; None for once an epoch.

    Attributes:
        convention: what labels of positions are of, see `tokens.Convention`; None to tell it from them.
    """

    draws = True
    convention: Convention | None = None

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
        ids = torch.tensor(numbers, dtype=torch.int64)
        try:
            batch = as_batch(self._collated(items, numbers), ids, self.convention)
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        if self.num_classes is not None:
            check_labels(batch.labels, self.num_classes, where=self.where)
        return batch

    def states_labels(self) -> bool:
        """Whether its batches say by themselves which labels count, by a `mask` or as a `Batch`."""
        raw = self._collated([self.dataset[0]], [0])
        return isinstance(raw, Batch) or (isinstance(raw, Mapping) and "mask" in raw)

    def _collated(self, items: list[Any], numbers: Sequence[int]) -> Any:
        try:
            if self.collate is default_collate and holds_tokens(items):
                return pad_tokens(items)
            return self.collate(items)
        except (RuntimeError, TypeError, KeyError, ValueError) as error:
            shapes = [[list(tensor.shape) for tensor in tensors_in(item)] for item in items]
            other = next((n for n, shape in enumerate(shapes) if shape != shapes[0]), None)
            said = first_line(error)
            alike = "Make them alike (images of one size and number of channels)"
            if "each element in list" in said:
                alike = (
                    "Give labels, and other lists, as one tensor of a length that is the same for each item"
                )
            if other is not None:
                said = (
                    f"item {numbers[0]} holds tensors of shapes {shapes[0]}, and item {numbers[other]} of "
                    f"{shapes[other]}"
                )
            raise DataError(
                f"items of {self.where} cannot be put into one batch: {said}. {alike}, or give a DataLoader "
                "with a collate_fn"
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
        return hashlib.sha256(self.source.fingerprint().encode() + bytes_of(self.numbers)).hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    """A tensor's numbers as they lie in memory, for hashes."""
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
