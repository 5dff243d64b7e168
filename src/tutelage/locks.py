"""Who works in a folder: a lock that dies with its process, and its owner's name for whoever comes second."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tutelage.errors import OutputError

with contextlib.suppress(ImportError):  # not on every system
    import fcntl

__all__ = ["LOCK", "one_at_a_time", "owned"]

LOCK = ".lock"
"""The file in a folder that its owner holds."""

_OURS: set[Path] = set()  # the system keeps processes apart, and not the parts of one
_GUARD = threading.Lock()
_WAITING = 0.05  # seconds


@contextlib.contextmanager
def owned(folder: Path, *, doing: str) -> Iterator[None]:
    """Work in a folder alone; the folder is made where it is not there.

    The lock is the system's, so that one of a process that was killed holds nobody up. The file is removed at
    the end, and so are folders that were made for it and are empty then.

    Args:
        folder: whose.
        doing: what goes on there, for the message to others: "a run".

    Raises:
        OutputError: another process works there; its number and its machine are said. Or the folder cannot be
            written to.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose a folder (out, --out)")
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with _writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder.resolve() / LOCK
        held = _try(path)
    if held is None:
        raise OutputError(
            f"{folder} is in use: {doing} goes on there, {_owner(path)}. Wait for its end, stop it, or "
            "choose another folder (out, --out)"
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        _release(path, held)
        with contextlib.suppress(OSError):  # the first that is not empty
            for each in made:
                each.rmdir()


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Wait until nobody else holds this lock, and hold it.

    Args:
        path: the lock's file; it stays.

    Raises:
        OutputError: it cannot be written.
    """
    with _writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.parent.resolve() / path.name
        while (held := _try(place)) is None:
            time.sleep(_WAITING)
    try:
        yield
    finally:
        _release(place, held)


def _try(path: Path) -> int | None:
    """Take a lock, or None where somebody has it."""
    with _GUARD:
        if path in _OURS:
            return None
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
            file = os.open(path, flags, 0o644)
            if not _locked(file):
                os.close(file)
                return None
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(file), os.stat(path)):
                    break
            os.close(file)  # its owner removed it in between
        _OURS.add(path)
    name = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(file, 0)
    os.pwrite(file, (json.dumps(name) + "\n").encode(), 0)
    return file


def _locked(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except NameError:  # then only the threads of one process are kept apart
        return True
    except OSError:
        return False
    return True


def _release(path: Path, file: int) -> None:
    with _GUARD:
        os.close(file)
        _OURS.discard(path)


def _owner(path: Path) -> str:
    """Who has a lock, in words."""
    if path in _OURS:
        return f"in this very process ({os.getpid()})"
    try:
        held = json.loads(path.read_text("utf-8"))
        return f"by process {int(held['pid'])} on {held['host']}, since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "by a process that has not said its name"


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to {path}: {error.strerror or error}; choose another folder (out, --out)"
        ) from error
