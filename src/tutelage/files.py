"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tutelage.errors import CheckpointError, OutputError

__all__ = ["read_json", "replacing", "replacing_folder", "write_atomically", "write_json"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to. What stood there stays.
    """
    advice = "make room or choose another folder (out, --out), and go on with resume=True or --resume"
    with replacing(path, advice=advice) as beside:
        beside.write_bytes(content)


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
    """Write JSON in one step."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON back.

    Raises:
        CheckpointError: the file is cut short or foreign.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is truncated or not ours ({error}); delete it and resume") from error
