"""What a language model is asked to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tutelage.data import load_tables
from tutelage.errors import DataError
from tutelage.tasks.language.packing import Rows
from tutelage.tasks.language.vocabulary import BROKEN, Vocabulary

__all__ = ["openings", "read_prompts"]

_COLUMNS = ("prompt", "messages", "text")


def openings(rows: Rows, words: Vocabulary, tokens: int) -> list[str]:
    """The first tokens of each document, as text.

    Args:
        rows: the documents.
        words: that they were read with.
        tokens: how many of each; a shorter document is a prompt as a whole.
    """
    starts = rows.starts.tolist()
    stops = [*starts[1:], len(rows.tokens)]
    first = [
        rows.tokens[start : min(start + tokens, stop)].tolist()
        for start, stop in zip(starts, stops, strict=True)
    ]
    return _some([words.decode(each).rstrip(BROKEN) for each in first], "the training documents")


def read_prompts(place: str) -> list[Any]:
    """The prompts in a file: text, or the messages of a conversation up to where it is to be answered.

    Args:
        place: a text file with a prompt a line; or a Parquet, CSV or JSON file, a folder of them or a name on
            the hub, with a column `prompt`, `messages` or `text`. Of messages those after the last that is
            not the assistant's are left out.

    Raises:
        DataError: it cannot be read, or there are none in it.
    """
    path = Path(place).expanduser()
    if path.suffix == ".txt":
        return _some(_lines(path), place)
    found: list[Any] = []
    for table in load_tables(place).values():
        column = next((name for name in _COLUMNS if name in table.column_names), None)
        if column is None:
            raise DataError(
                f"{place} has the columns {', '.join(table.column_names)}; expected one named prompt, "
                "messages or text"
            )
        found += table[column][:]
    for one in found:
        if not isinstance(one, str) and not _are_messages(one):
            raise DataError(f"the prompts of {place} hold {one!r}, and text or messages were expected")
    kept: list[Any] = [one if isinstance(one, str) else _unanswered(one) for one in found]
    return _some(kept, place)


def _are_messages(came: Any) -> bool:
    return isinstance(came, list) and all(
        isinstance(one, dict) and {"role", "content"} <= set(one) for one in came
    )


def _unanswered(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A conversation without the answers that end it."""
    kept = list(messages)
    while kept and kept[-1]["role"] == "assistant":
        kept.pop()
    return kept


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"there is no file {path} with prompts")
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"prompts cannot be read from {path} as UTF-8 text: {error}") from error


def _some(found: Sequence[Any], place: str) -> list[Any]:
    """Those that are not empty."""
    kept = [one for one in found if (one.strip() if isinstance(one, str) else one)]
    if not kept:
        raise DataError(f"there is no prompt in {place}; at least one is needed")
    return kept
