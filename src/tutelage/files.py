"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import CheckpointError, OutputError
from tutelage.trust import parse_json

__all__ = [
    "SEAL",
    "beside_links",
    "read_json",
    "replacing",
    "replacing_folder",
    "seal",
    "unseal",
    "write_atomically",
    "write_json",
]

SEAL = "checksum"
"""The key under which a file of JSON keeps the checksum of the rest."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to. What stood there stays.
    """
    advice = "make room or choose another folder (out, --out), and go on with resume=True or --resume"
    with replacing(path, advice=advice) as beside:
        beside.write_bytes(content)


def beside_links(path: str, flags: int) -> int:
    """Open a file for writing, and no link: an opener for `open`."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


@contextlib.contextmanager
def replacing(path: Path, *, advice: str = "make room or choose another folder") -> Iterator[Path]:
    """Give a place beside `path` to write to; what is there when the block ends well moves to `path`.

    Args:
        path: where the file will stand; its folder is made.
        advice: what the user can do when it cannot be written.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to. What stood there stays.
    """
    beside = path.with_name(f".part.{path.name}")  # one name, so that a killed writer leaves one at most
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # of a killed writer, or a link that somebody put there
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        came = error.strerror or str(error)
        raise OutputError(
            f"cannot write {path}: {came}. What was written before is kept; {advice}"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path, *, advice: str = "make room or choose another folder") -> Iterator[Path]:
    """Give a new folder beside `path` to write to; it moves to `path` when the block ends well.

    Args:
        path: where the folder will stand; a folder that is there is replaced.
        advice: what the user can do when it cannot be written.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to. What stood there stays.
    """
    beside, before = (path.with_name(f".{word}.{path.name}") for word in ("part", "before"))
    try:
        shutil.rmtree(beside, ignore_errors=True)  # of a writer that was killed
        if before.exists() and not path.exists():
            os.replace(before, path)
        shutil.rmtree(before, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        if path.exists():
            os.replace(path, before)
        os.replace(beside, path)
    except OSError as error:
        came = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {came}. What stood there stays; {advice}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        if path.exists():
            shutil.rmtree(before, ignore_errors=True)
        elif before.exists():
            os.replace(before, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON in one step; a mapping with the checksum of its content."""
    held = seal(value) if isinstance(value, Mapping) else value
    write_atomically(path, (json.dumps(held, indent=2) + "\n").encode())


def read_json(path: Path, *, advice: str = "restore it from a copy") -> Any:
    """Read JSON back, without its checksum.

    Args:
        path: the file.
        advice: what the user can do where it is damaged.

    Raises:
        CheckpointError: the file is cut short, foreign, or not as it was written.
    """
    try:
        held = parse_json(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path} is truncated or not ours ({error}); {advice}") from error
    try:
        return unseal(held)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}; {advice}") from error


def seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with the checksum of its content under `checksum`."""
    plain: dict[str, Any] = json.loads(json.dumps({key: held for key, held in value.items() if key != SEAL}))
    return plain | {SEAL: _digest(plain)}


def unseal(value: Any) -> Any:
    """What was sealed, without its checksum; what has none is given back as it is.

    Raises:
        ValueError: the content is not that of the checksum.
    """
    if not isinstance(value, dict) or SEAL not in value:
        return value
    plain = {key: held for key, held in value.items() if key != SEAL}
    if _digest(plain) != value[SEAL]:
        raise ValueError("its content does not have the checksum that was written with it")
    return plain


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
