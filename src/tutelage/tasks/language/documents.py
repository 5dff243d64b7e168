"""Documents: the pieces of text within which a model may look back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from tutelage.answers import Texts, holds_text
from tutelage.data import load_tables, split
from tutelage.errors import DataError, UnknownName
from tutelage.tasks.classification import choose_column
from tutelage.tasks.language.chat import read_talks
from tutelage.tasks.language.selected import holds_selected, read_selected
from tutelage.tasks.language.unfinished import Unfinished

__all__ = ["Cut", "Unfinished", "check_test", "cut", "read_documents", "three_parts"]

Cut = Literal["whole", "paragraphs", "headings"]

_CUTS = ("whole", "paragraphs", "headings")
_SPLITS = ("train", "validation", "test")
_COLUMNS = ("text", "content", "document", "sentence")
_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "validation"),
    "test": "test",
}
_HEADING = re.compile(r"\s*(?:= [^=]+ =|# .+)\s*")
_EMPTY_LINE = re.compile(r"\n[^\S\n]*\n")


def read_documents(
    data: str | Mapping[str, str], *, config: str | None = None, text: str | None = None, documents: Cut
) -> dict[str, list[str]]:
    """The documents of each split.

    Args:
        data: a text file; a folder of them, whose splits are said by the words train, valid, validation, val,
            dev or test in their names (all others are trained on); a Parquet, CSV or JSON file, or a folder
            of them, or a name on the hub, with a column of text, or of conversations (`messages`, or `prompt`
            and `completion`), which are not cut; what a teacher wrote, or was chosen by; or such a place for
            each split.
        config: the configuration of a hub set.
        text: the column of text; found by its usual names.
        documents: what one is, see `cut`. Without headings, each file or row is cut by itself. What a
            teacher wrote, and what was chosen, is not cut: each of its texts is one.

    Raises:
        DataError: nothing is there, or it cannot be read as text, or nothing is left to train on.
        AnswersError: what a teacher wrote is not complete, or not as it was written.
        UnknownName: another way to cut, another split, or a column that is not there.
    """
    if documents not in _CUTS:
        raise UnknownName("way to cut documents", str(documents), _CUTS)
    if isinstance(data, Mapping):
        wrong = next((name for name in data if name not in _SPLITS), None)
        if wrong is not None:
            raise UnknownName("split", wrong, _SPLITS)
        found = {name: _one_place(place, name, config, text, documents) for name, place in data.items()}
    else:
        found = _splits(data, config, text, documents)
    if "train" not in found:
        raise DataError(
            f"{data} has the splits {', '.join(found)} and none to train on; name the files: "
            "task.data={train: a.txt, test: b.txt}"
        )
    empty = next((name for name, held in found.items() if not held), None)
    if empty is not None:
        raise DataError(f"the split {empty!r} of {data} has no text; at least one document is needed")
    return found


def check_test(data: str | Mapping[str, str], found: Mapping[str, object]) -> None:
    """Refuse to draw a test from what a teacher wrote, or from what was chosen: it is like no other text."""
    train = data.get("train", "") if isinstance(data, Mapping) else data
    if "test" not in found and holds_text(train):
        raise DataError(
            f"a teacher wrote {train}, and a test drawn from it would not say how good a student is; name "
            f"real text: task.data={{train: {train}, test: test.txt}}"
        )
    if "test" not in found and holds_selected(train):
        raise DataError(
            f"{train} holds documents that were chosen, and a test drawn from them would be of easier text "
            f"than others; name one: task.data={{train: {train}, test: test.txt}}"
        )


def cut(text: str, documents: Cut) -> list[str]:
    """The documents in a text, without the white space around them; empty ones are dropped.

    Args:
        text: all of it.
        documents: `whole`, one; `paragraphs`, cut at empty lines; `headings`, cut before each line after an
            empty one that is a heading of the first rank, `= Title =` as in WikiText, or `# Title`.

    Example:
        >>> cut("= A =\\n\\nOne.\\n\\n= = B = =\\n\\n= C =\\nTwo.", "headings")
        ['= A =\\n\\nOne.\\n\\n= = B = =', '= C =\\nTwo.']
    """
    if documents == "whole":
        parts = [text]
    elif documents == "paragraphs":
        parts = _EMPTY_LINE.split(text)
    else:
        parts = ["".join(lines) for lines in _under_headings(text.splitlines(keepends=True))]
    return [part.strip() for part in parts if part.strip()]


def three_parts(
    found: Mapping[str, list[str]], *, validation: float | int, test: float | int, seed: int
) -> tuple[list[str], list[str], list[str]]:
    """Train, validation and test; what is missing is drawn from the training documents, whole ones.

    Args:
        found: documents by split.
        validation, test: the share or number of documents to draw where the split is missing.
        seed: of the draw.
    """
    train, drawn = list(found["train"]), {}
    for name, size in (("test", test), ("validation", validation)):
        if name in found:
            drawn[name] = found[name]
            continue
        if len(train) < 2:
            raise DataError(
                f"there is one document to train on, and none can be drawn from it for {name}; cut it with "
                "task.documents=paragraphs or headings, or name files for each split"
            )
        rest, part = split(len(train), size, seed=seed, name=name)
        drawn[name], train = [train[n] for n in part], [train[n] for n in rest]
    return train, drawn["validation"], drawn["test"]


def _under_headings(lines: Iterable[str]) -> Iterable[list[str]]:
    held: list[str] = []
    after_empty = True
    for line in lines:
        if after_empty and _HEADING.fullmatch(line):
            yield held
            held = []
        held.append(line)
        after_empty = not line.strip()
    yield held


def _splits(data: str, config: str | None, text: str | None, documents: Cut) -> dict[str, list[str]]:
    if holds_text(data):
        return {"train": _written(data)}
    if holds_selected(data):
        return {"train": read_selected(data)}
    files = _text_files(data)
    if not files:
        tables = load_tables(data, config=config)
        return {name: _rows(table, text, documents) for name, table in tables.items()}
    found: dict[str, list[str]] = {}
    for name, file in files.items():
        words = re.findall(r"[a-z]+", name.lower())
        where = next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "train")
        found.setdefault(where, []).extend(cut(_content(file), documents))
    return found


def _one_place(place: str, name: str, config: str | None, text: str | None, documents: Cut) -> list[str]:
    if holds_text(place):
        return _written(place)
    if holds_selected(place):
        return read_selected(place)
    files = _text_files(place)
    if files:
        return [one for file in files.values() for one in cut(_content(file), documents)]
    tables = load_tables(place, config=config)
    if name not in tables and len(tables) > 1:
        raise UnknownName("split", name, tables)
    return _rows(tables.get(name, next(iter(tables.values()))), text, documents)


def _written(place: str) -> list[str]:
    """What a teacher wrote, a document each."""
    found = ((one.text, one.finished) for one in Texts(place) if one.text.strip())
    return [text if finished else Unfinished(text) for text, finished in found]


def _text_files(place: str) -> dict[str, Path]:
    """The text files at a place, by their paths within it; none where it is something else."""
    path = Path(place).expanduser()
    if path.suffix == ".txt":
        return {"": path} if path.is_file() else _nothing_at(path)
    files = sorted(path.rglob("*.txt")) if path.is_dir() and not any(path.rglob("*.parquet")) else []
    return {str(file.relative_to(path).with_suffix("")): file for file in files}


def _nothing_at(path: Path) -> dict[str, Path]:
    raise DataError(f"there is no text file {path}; give one, a folder of them, or a data set")


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as UTF-8 text: {error}") from error


def _rows(table: Any, text: str | None, documents: Cut) -> list[str]:
    talks = read_talks(table) if text is None else None
    if talks is not None:
        return list(talks)
    column = choose_column(table, text, "text", _COLUMNS)
    rows = table[column][:]
    wrong = next((row for row in rows if not isinstance(row, str)), None)
    if wrong is not None or None in rows:
        raise DataError(
            f"the column {column!r} holds {wrong!r}, and text was expected; name another with task.text="
        )
    if documents == "headings":
        return cut("".join(row if row.endswith("\n") else f"{row}\n" for row in rows), documents)
    return [one for row in rows for one in cut(row, documents)]
