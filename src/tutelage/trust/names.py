"""Names of files that come from a file, and links that lie in a folder: nothing leads out of where it is."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tutelage.errors import OutputError, TutelageError

__all__ = ["inside", "plain_name", "read_sha256", "refuse_links"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST = 120
_Error = TypeVar("_Error", bound=TutelageError)


def inside(came: object, what: str, error: type[TutelageError]) -> str:
    """The name of a file below the folder that its list lies in.

    Args:
        came: as the list has it.
        what: to call it in messages.
        error: what to raise.

    Raises:
        error: it is absolute, leads upwards, or holds characters that no name of ours has.
    """
    if isinstance(came, str) and came and not _CONTROL.search(came) and "\\" not in came:
        path = PurePosixPath(came)
        if not path.is_absolute() and ":" not in came and all(part != ".." for part in path.parts):
            return came
    raise error(f"{what} came as {came!r}, which leads out of its folder; a name below it is expected")


def plain_name(came: object, what: str, error: type[TutelageError]) -> str:
    """A name that may name a file or folder by itself: of an arm, a network, an outcome.

    Raises:
        error: it is empty, too long, a path, hidden, or holds characters that are not printed.
    """
    if isinstance(came, str) and 0 < len(came.encode("utf-8", "replace")) <= _LONGEST:
        clean = came.isprintable() and came == came.strip() and not came.startswith((".", "~", "-"))
        if clean and not re.search(r'[/\\:*?"<>|\x00]', came):
            return came
    raise error(
        f"{what} came as {came!r}; files are named after it: expected up to {_LONGEST} printed characters, "
        "none of them of a path, and no dot at the front"
    )


def read_sha256(came: object, what: str, error: type[TutelageError]) -> str:
    """A SHA-256 as 64 hexadecimal digits.

    Raises:
        error: it is something else, such as a path.
    """
    if isinstance(came, str) and re.fullmatch(r"[0-9a-f]{64}", came):
        return came
    raise error(f"{what} came as {came!r}; expected a SHA-256, 64 hexadecimal digits")


def refuse_links(folder: Path) -> None:
    """See to it that nothing in a folder leads out of it before something is written there.

    Raises:
        OutputError: a link in it leads elsewhere, or something in it is neither a file nor a folder.
    """
    root = folder.resolve()
    for entry in _below(root):
        path = Path(entry.path)
        if entry.is_symlink():
            if not path.resolve().is_relative_to(root):
                raise OutputError(
                    f"{folder} holds a link, {path.relative_to(root)} to {os.readlink(path)}, which leads "
                    "out of it; files would be written there. Delete the link, or put a copy in its place"
                )
        elif not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
            raise OutputError(
                f"{folder} holds {path.relative_to(root)}, which is neither a file nor a folder; delete it"
            )


def _below(folder: Path) -> list[os.DirEntry[str]]:
    found, waiting = [], [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found.append(entry)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return found
