"""The journal in which a tuning without a database notes its trials: each line with its checksum."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.errors import OutputError
from tutelage.files import seal, unseal
from tutelage.trust import parse_json

if TYPE_CHECKING:
    import optuna
    from filelock import FileLock

__all__ = ["open_journal"]


def open_journal(file: Path, lock: FileLock) -> optuna.storages.JournalStorage:
    """A storage in a file, once every line of it was found to be as it was written.

    Args:
        file: the journal; made where it is not there.
        lock: held while it is read or written.

    Raises:
        OutputError: a line is damaged.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    class Sealed(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            super().append_logs([seal(log) for log in logs])

    mending = _Mending(lock, file)
    with mending:
        _check(file)
    return optuna.storages.JournalStorage(Sealed(str(file), lock_obj=mending))  # type: ignore[arg-type]


class _Mending:
    """The journal's lock, as Optuna asks for one: it does not outlive a process that is killed."""

    def __init__(self, lock: FileLock, journal: Path) -> None:
        self._lock, self._journal = lock, journal

    def acquire(self) -> bool:
        self._lock.acquire()
        _mend(self._journal)
        return True

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _mend(file: Path) -> None:
    """Cut off a last line that a kill left unfinished: what is written behind it could not be read."""
    if not file.exists() or not file.stat().st_size:
        return
    with open(file, "rb+") as held:
        held.seek(-1, os.SEEK_END)
        if held.read(1) == b"\n":
            return
        held.seek(0)
        held.truncate(held.read().rfind(b"\n") + 1)
        held.flush()
        os.fsync(held.fileno())


def _check(file: Path) -> None:
    if not file.exists():
        return
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            if not isinstance(unseal(parse_json(line)), dict):
                raise ValueError("it is no note of a trial")
        except ValueError as error:  # of the text's encoding and of JSON too
            raise OutputError(
                f"{file} is damaged in line {number} ({error}), and the trials after it cannot be told; "
                "restore it from a copy, or tune into another folder (--out)"
            ) from error
