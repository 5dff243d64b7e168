"""What a stage made for the next one, as a file that another process reads."""

from __future__ import annotations

from pathlib import Path

from tutelage.data import Examples, Source
from tutelage.engine import Checkpoint

__all__ = ["read_made", "write_made"]

_NAME = "made.safetensors"


def write_made(made: Source, folder: Path) -> None:
    """Write all examples of a source, with their labels."""
    batch = made.batch(range(len(made)))
    Checkpoint(folder / _NAME).save({"inputs": batch.inputs, "labels": batch.labels})


def read_made(folder: Path) -> Source | None:
    """What was written there; None where nothing was made.

    Raises:
        CheckpointError: the file is damaged.
    """
    file = Checkpoint(folder / _NAME)
    if not file.exists():
        return None
    held = file.load()
    return Examples(held["inputs"], held["labels"], where="what the stage before made")
