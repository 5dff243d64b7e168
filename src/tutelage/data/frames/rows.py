"""Rows of frames as examples: encoded for networks, and as they came for everybody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.data.frames.columns import as_pandas
from tutelage.data.frames.encoding import Encoding
from tutelage.data.sources import Examples

__all__ = ["FrameRows", "RawRows", "Table"]


class Table:
    """The raw rows of all splits, one below the other.

    Args:
        frames: the splits, of one library and with the same columns.

    Example:
        >>> import pandas
        >>> Table([pandas.DataFrame({"a": [1, 2]}), pandas.DataFrame({"a": [3]})]).take(torch.tensor([2, 0]))
           a
        0  3
        1  1
    """

    def __init__(self, frames: Sequence[Any]) -> None:
        if type(frames[0]).__module__.startswith("polars"):
            import polars

            self.frame = polars.concat(frames, how="vertical_relaxed")
        else:
            import pandas

            self.frame = pandas.concat([frames[0], *(_alike(one, frames[0]) for one in frames[1:])])
        ends = torch.tensor([len(one) for one in frames]).cumsum(0).tolist()
        self.starts = [0, *ends[:-1]]

    def take(self, rows: Tensor) -> Any:
        """The rows of these numbers, in this order, as a frame of the library that they came in."""
        numbers = rows.detach().cpu().numpy()
        if type(self.frame).__module__.startswith("polars"):
            return self.frame[numbers.tolist()]
        return self.frame.iloc[numbers].reset_index(drop=True)

    def __call__(self, inputs: Mapping[str, Tensor]) -> Any:
        """The raw rows of a batch's inputs."""
        return self.take(inputs["row"])


class FrameRows(Examples):
    """A split of rows; inputs are a mapping of `rows`, encoded [N, width], and `row`, the numbers in a table.

    Args:
        frame: the raw rows.
        rows: the same, encoded.
        labels: as for `Examples`.
        start: the number of its first row in the table.
        where: what to call it in messages.
    """

    def __init__(
        self, frame: Any, rows: Tensor, labels: Tensor | None, *, start: int = 0, where: str = "the data"
    ) -> None:
        numbers = torch.arange(start, start + len(rows))
        super().__init__({"rows": rows, "row": numbers}, labels, where=where)
        self.frame = frame

    def fingerprint(self) -> str:
        """The hash of the encoded rows and labels, together with that of the raw ones."""
        import pandas

        raw = as_pandas(self.frame).astype(str)
        held = pandas.util.hash_pandas_object(raw, index=False, categorize=False).to_numpy()
        return hashlib.sha256(super().fingerprint().encode() + held.tobytes()).hexdigest()


@dataclass(frozen=True)
class RawRows:
    """What encoded rows were before, and what encodes others.

    Args:
        table: the raw rows of all splits.
        encoding: of these, as the student reads them.
    """

    table: Table
    encoding: Encoding

    def __call__(self, inputs: Mapping[str, Tensor]) -> Any:
        """The raw rows of a batch's inputs."""
        return self.table(inputs)


def _alike(frame: Any, first: Any) -> Any:
    """A frame whose categories are those of the training data; what these lack becomes a gap."""
    changed = {}
    for name, kind in first.dtypes.items():
        if str(kind) == "category" and frame[name].dtype != kind:
            held = frame[name].astype(object)
            changed[name] = held.where(held.isin(kind.categories), None).astype(kind)
    return frame.assign(**changed)
