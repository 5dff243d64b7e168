"""Blocks of code on our pages, with the line where each begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]

_BLOCK = re.compile(
    r"^(?P<mark><!-- not run -->\n)?```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: after the fence.
        code: what is in it.
        line: of the page where the code begins, from 1.
        title: its file name, if it has one.
        runs: whether it is meant to run.
    """

    language: str
    code: str
    line: int
    title: str | None
    runs: bool


def blocks(page: Path, language: str) -> Iterator[Block]:
    """The blocks of one language on a page, in order."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        if found["language"] == language:
            line = text.count("\n", 0, found.start("code")) + 1
            yield Block(language, found["code"], line, found["title"], found["mark"] is None)


def name(page: Path) -> str:
    """What to call a page."""
    return page.relative_to(ROOT).as_posix()
