"""Documents that were chosen from others by what two language models say of them, as a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.files import read_json, write_atomically, write_json
from tutelage.tasks.language.chat import Talk
from tutelage.tasks.language.unfinished import Unfinished
from tutelage.trust import parse_json

__all__ = ["CHOSEN", "MARK", "holds_selected", "read_selected", "row_of", "write_selected"]

CHOSEN, MARK = "train.jsonl", "select.json"
"""The documents, one a line; and what was done, which is written last."""


def row_of(document: str) -> dict[str, Any]:
    """A document as a row of a data set, by the columns that `read_documents` looks for.

    Example:
        >>> row_of("one dog")
        {'text': 'one dog'}
    """
    if isinstance(document, Talk):
        if isinstance(document.prompt, str) or document.prompt:
            return {"prompt": document.prompt, "completion": document.completion}
        return {"messages": document.completion}
    return {"text": str(document)} | ({"finished": False} if isinstance(document, Unfinished) else {})


def write_selected(folder: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Write the rows, and then what was done; a reader finds both, or no finished selection.

    Raises:
        OutputError: the folder cannot be written to.
    """
    lines = [json.dumps(dict(row), ensure_ascii=False) for row in rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    (folder / MARK).unlink(missing_ok=True)
    write_atomically(folder / CHOSEN, content)
    write_json(folder / MARK, {**about, "sha256": hashlib.sha256(content).hexdigest()})


def holds_selected(place: str) -> bool:
    """Whether a folder holds what was chosen, complete or not."""
    folder = Path(place).expanduser()
    return (folder / MARK).is_file() or (folder / "scored.json").is_file()


def read_selected(place: str) -> list[str]:
    """The documents of a selection, each as it was, in their order.

    Raises:
        DataError: it is not complete, or not as it was written.
    """
    folder = Path(place).expanduser()
    if not (folder / MARK).is_file() or not (folder / CHOSEN).is_file():
        raise DataError(
            f"the selection at {place} is not complete; `tutelage select` with the same settings goes "
            "on with it"
        )
    content = (folder / CHOSEN).read_bytes()
    if hashlib.sha256(content).hexdigest() != read_json(folder / MARK).get("sha256"):
        raise DataError(
            f"{folder / CHOSEN} is not as it was written; `tutelage select` with the same settings makes it "
            "again, or give the file itself as data"
        )
    return [_document(parse_json(line)) for line in content.splitlines()]


def _document(row: Any) -> str:
    if "messages" in row:
        return Talk([], row["messages"])
    if "prompt" in row:
        return Talk(row["prompt"], row["completion"])
    return str(row["text"]) if row.get("finished", True) else Unfinished(row["text"])
