"""What every format shares: a file that is checked before it stands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.capture import call
from tutelage.errors import ModelError, OutputError
from tutelage.files import replacing
from tutelage.traced import Logits, ready, rows, tensors_of, trace
from tutelage.traced.trace import first_line

__all__ = ["Logits", "new_file", "ready", "record", "rows", "tensors_of", "trace", "worst_difference"]

Record = dict[str, Any]
"""What an export says: `format`, `path`, `bytes`, `max_difference`, and what is the format's own."""


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A place to write to, which becomes `path` once the block, and with it the check, has ended well.

    Raises:
        OutputError: a file is there and is not to be overwritten; or the folder cannot be written to.
    """
    if path.exists() and not overwrite:
        raise OutputError(
            f"{path} is there already; choose another path, or pass overwrite=True to replace it"
        )
    with replacing(path) as beside:
        yield beside


def worst_difference(
    logits: Logits,
    example: Any,
    read_back: Callable[[Any], Tensor],
    *,
    tolerance: float,
    what: str,
    counts: Sequence[int] = (1, 3),
) -> float:
    """The largest difference between a network's logits and its file's, for one example and for three.

    Args:
        logits: the network.
        example: what it is called with.
        read_back: inputs -> the answer of what was read back from the file.
        tolerance: the difference that is allowed, as a share of the largest logit (of 1, if that is smaller).
        what: what to call the file.
        counts: how many examples to ask about at a time.

    Raises:
        ModelError: the file does not run, or differs by more.
    """
    return max(
        _difference(
            logits, rows(example, count), read_back, tolerance, f"{what} of {type(logits.network).__name__}"
        )
        for count in counts
    )


def record(name: str, path: Path, difference: float) -> Record:
    """What a finished export says."""
    return {"format": name, "path": str(path), "bytes": os.path.getsize(path), "max_difference": difference}


def _difference(
    logits: Logits, inputs: Any, read_back: Callable[[Any], Tensor], tolerance: float, what: str
) -> float:
    expected = call(logits, inputs)
    count = len(expected)
    try:
        came = read_back(inputs)
    except Exception as error:
        raise ModelError(
            f"{what} cannot be run with a batch of {count}: {first_line(error)}. Nothing was kept; "
            "choose another format"
        ) from error
    if came.shape != expected.shape:
        raise ModelError(
            f"{what} answers a batch of {count} with shape {list(came.shape)}, and the network with "
            f"{list(expected.shape)}. Nothing was kept; choose another format"
        )
    came, expected = came.double(), expected.double()
    difference = float(torch.where(came == expected, 0.0, (came - expected).abs()).max())
    finite = expected[expected.isfinite()].abs()
    allowed = tolerance * max(1.0, float(finite.max()) if len(finite) else 1.0)
    if not difference <= allowed:
        raise ModelError(
            f"{what} differs from the network by {difference:.3g} with a batch of {count}, and {allowed:.3g} "
            "is allowed. Nothing was kept; raise tolerance= if that is good enough, or choose another format"
        )
    return difference
