"""Inputs of types that a student cannot read, such as the float64 of arrays, handed over as float32."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from tutelage.capture import capture
from tutelage.data import Cast, Examples, Source, reading
from tutelage.data.batches import tensors_in
from tutelage.errors import TutelageWarning
from tutelage.modes import evaluating
from tutelage.types import map_tensors

__all__ = ["as_read"]


def as_read(
    splits: Mapping[str, Source], build: Callable[[], nn.Module], reads: Sequence[str] | None
) -> dict[str, Source]:
    """The splits as they are, or as float32 where the student reads an example only then.

    Whole numbers that are handed over as float32 are told of; float64 is not.

    Args:
        splits: by name, `train` among them.
        build: makes the student.
        reads: the inputs that it reads, where these are a mapping.
    """
    train = splits["train"]
    kinds = {tensor.dtype for tensor in tensors_in(reading(train.batch([0]), reads).inputs)}
    if not kinds or kinds == {torch.float32} or _can_read(build(), train, reads):
        return dict(splits)
    if not _can_read(build(), Cast(train), reads):
        told = dict(splits)  # refused later, with the words of the first error
        return {w: _cast(s) for w, s in told.items()} if _blames_type(build(), train, reads) else told
    if torch.float64 not in kinds:
        came = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        said = (
            f"inputs came as {came}, which the student cannot read, and are handed over as float32; scale "
            "them in the data if they are large, as the bytes of images are"
        )
        warnings.warn(said, TutelageWarning, stacklevel=3)
    return {where: _cast(source) for where, source in splits.items()}


def _cast(source: Source) -> Source:
    if type(source) is Examples:
        return Examples(
            map_tensors(source.inputs, torch.Tensor.float), source.batch(range(len(source))).labels
        )
    return Cast(source)


def _blames_type(network: nn.Module, source: Source, reads: Sequence[str] | None) -> bool:
    """Whether what a network says of an example is about its type, so that as float32 it would say more."""
    try:
        with torch.no_grad(), evaluating(network):
            capture(network, reading(source.batch([0]), reads).inputs)
    except Exception as error:
        return any(word in str(error).lower() for word in ("dtype", "scalar type", "type ("))
    return False


def _can_read(network: nn.Module, source: Source, reads: Sequence[str] | None) -> bool:
    try:
        with torch.no_grad(), evaluating(network):
            capture(network, reading(source.batch([0]), reads).inputs)
    except Exception:  # whatever a user's network raises
        return False
    return True
