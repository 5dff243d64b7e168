"""What every format shares: a file that is checked before it stands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.capture import call
from tutelage.errors import ModelError, OutputError
from tutelage.files import replacing
from tutelage.traced import Logits, first_line, rows, tensors_of
from tutelage.types import map_tensors

__all__ = ["MOST", "Agreement", "Record", "compare_answers", "new_file", "record"]

MOST = 100
"""How many examples a file is compared with its network on."""

_AT_ONCE = 16  # of them, so that the logits of long texts fit in memory

Record = dict[str, Any]
"""What an export says: `format`, `path`, `bytes`, what `Agreement` holds, and what is the format's own."""


@dataclass(frozen=True)
class Agreement:
    """How far the answers of a file are from the network's.

    Args:
        max_difference: of a logit, the largest.
        tolerance: that was allowed, as a share of the largest logit (of 1, if that is smaller).
        examples: how many were compared.
        same_first_choice: the share of answers whose greatest logit is the same one; None where an answer is
            a single number.
    """

    max_difference: float
    tolerance: float
    examples: int
    same_first_choice: float | None


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


def compare_answers(
    logits: Logits,
    example: Any,
    read_back: Callable[[Any], Tensor],
    *,
    tolerance: float,
    what: str,
    at_once: int = _AT_ONCE,
) -> Agreement:
    """How far a file's logits are from the network's: for one example, for three, and for all that came.

    Args:
        logits: the network.
        example: what it is called with; the first 100 examples are asked about.
        read_back: inputs -> the answer of what was read back from the file.
        tolerance: the difference that is allowed, as a share of the largest logit (of 1, if that is smaller).
        what: what to call the file.
        at_once: how many examples to ask about at a time.

    Raises:
        ModelError: the file does not run, or differs by more.
    """
    what = f"{what} of {type(logits.network).__name__}"
    count = min(MOST, len(tensors_of(example)[0]))
    worst, same, chosen = 0.0, 0, 0
    for inputs in (rows(example, 1), rows(example, 3)):
        worst = max(worst, _difference(*_both(logits, inputs, read_back, what), tolerance, what))
    for start in range(0, count, at_once):
        inputs = _between(example, start, min(count, start + at_once))
        came, expected = _both(logits, inputs, read_back, what)
        worst = max(worst, _difference(came, expected, tolerance, what))
        choices = came.argmax(-1) == expected.argmax(-1)
        same, chosen = same + int(choices.sum()), chosen + choices.numel()
    choosing = chosen and expected.shape[-1] > 1
    return Agreement(worst, tolerance, count, same / chosen if choosing else None)


def record(name: str, path: Path, agreement: Agreement, *, size: int | None = None) -> Record:
    """What a finished export says.

    Args:
        name: of the format.
        path: of the file.
        agreement: with the network.
        size: in bytes, where more than the one file was written.
    """
    nbytes = os.path.getsize(path) if size is None else size
    return {"format": name, "path": str(path), "bytes": nbytes, **asdict(agreement)}


def _between(example: Any, start: int, end: int) -> Any:
    return map_tensors(example, lambda tensor: tensor.detach().cpu()[start:end])


def _both(
    logits: Logits, inputs: Any, read_back: Callable[[Any], Tensor], what: str
) -> tuple[Tensor, Tensor]:
    """The file's answer and the network's, of one shape."""
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
    return came.double(), expected.double()


def _difference(came: Tensor, expected: Tensor, tolerance: float, what: str) -> float:
    difference = float(torch.where(came == expected, 0.0, (came - expected).abs()).max())
    finite = expected[expected.isfinite()].abs()
    allowed = tolerance * max(1.0, float(finite.max()) if len(finite) else 1.0)
    if not difference <= allowed:
        raise ModelError(
            f"{what} differs from the network by {difference:.3g} with a batch of {len(came)}, and "
            f"{allowed:.3g} is allowed. Nothing was kept; raise tolerance= if that is good enough, or choose "
            "another format"
        )
    return difference
