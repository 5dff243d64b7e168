"""What a run says while it goes on: lines of history, a progress bar, trackers."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from tutelage.errors import CheckpointError, OutputError
from tutelage.files import beside_links, write_atomically

__all__ = ["History", "Progress", "history_digest", "read_history"]


class History:
    """Lines of JSON, one a record, appended as they come.

    Args:
        path: the file, or None to keep records in memory alone.
        writes: whether this process writes the file, or only reads it.
    """

    def __init__(self, path: Path | None, *, writes: bool = True) -> None:
        self.path, self.writes = path, writes
        self.records: list[dict[str, Any]] = []

    def resume(self, count: int, digest: str | None = None) -> None:
        """Take up the file's first `count` records, and drop those written after the checkpoint.

        Args:
            count: how many there were.
            digest: of these; None where it is not known.

        Raises:
            CheckpointError: they are others than those that were written.
        """
        self.records = read_history(self.path)[:count]
        if digest is not None and history_digest(self.records) != digest:
            raise CheckpointError(
                f"{self.path} is damaged: its lines are not those that were written before the checkpoint; "
                "restore it from a copy"
            )
        if self.path is not None and self.writes:
            lines = "".join(json.dumps(record) + "\n" for record in self.records)
            write_atomically(self.path, lines.encode())

    def add(self, record: dict[str, Any]) -> None:
        """Append one record."""
        self.records.append(record)
        if self.path is None or not self.writes:
            return
        try:
            with open(self.path, "a", encoding="utf-8", opener=beside_links) as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_history(path: Path | None) -> list[dict[str, Any]]:
    """The records of a history file; a last line cut short by a kill is left out."""
    if path is None or not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def history_digest(records: Sequence[Mapping[str, Any]]) -> str:
    """The checksum of a history's records."""
    return hashlib.sha256("".join(json.dumps(record) + "\n" for record in records).encode()).hexdigest()


class Progress:
    """A bar with the time left on a terminal and in a notebook, a plain line now and then elsewhere.

    It writes to stderr.

    Args:
        label: what is being trained.
        total: steps in all.
        quiet: say nothing.
        every: seconds between two plain lines.
    """

    def __init__(self, label: str, total: int, *, quiet: bool = False, every: float = 15.0) -> None:
        self.label, self.total, self.every = label, total, every
        self._console = Console(stderr=True)
        self._bar = None if quiet or not self._draws else self._make_bar()
        self._plain = not quiet and self._bar is None
        self._began = self._said = time.monotonic()
        self._first = 0
        self._task = self._bar.add_task(label, total=total, note="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def _draws(self) -> bool:
        """Whether a bar can be drawn again and again; in a notebook that is ipywidgets' work."""
        return sys.stderr.isatty() or (self._console.is_jupyter and find_spec("ipywidgets") is not None)

    def start_at(self, step: int) -> None:
        """Say where a resumed run takes up."""
        self._first = step
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step)

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Show how far training is, with some numbers."""
        note = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, note=note)
        elif self._plain and (time.monotonic() - self._said >= self.every or step >= self.total):
            self._said = time.monotonic()
            left = (self._said - self._began) / max(1, step - self._first) * (self.total - step)
            self._console.print(
                f"{self.label}  {step}/{self.total}  {note}  {left:.0f} s left", highlight=False, markup=False
            )

    def _make_bar(self) -> RichProgress:
        return RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
        )
