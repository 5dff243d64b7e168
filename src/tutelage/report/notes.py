"""Warnings as a page and a terminal say them: those of one kind once, with their count."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tutelage.report.numbers import sequence

__all__ = ["notes"]

_VARYING = re.compile(r"\d+(?:[.,]\d+)*|'[^']*'|\"[^\"]*\"")
"""What may differ between warnings of one kind: numbers, and what is quoted."""
_LONGEST_NAME = 40


def notes(said: object) -> list[str]:
    """The warnings of a list, each kind once.

    Args:
        said: the warnings; anything but a list is none.

    Returns:
        The first of each kind, in order. Where others say the same of other networks, all are named; where
        they differ by numbers or quoted names, it says how many there were.

    Example:
        >>> notes(["control: seed 1 failed", "it was busy", "student: seed 1 failed", "it was busy"])
        ['control, student: seed 1 failed', 'it was busy (2 times)']
    """
    kinds: dict[str, list[str]] = {}
    for line in map(str, sequence(said)):
        kinds.setdefault(_VARYING.sub("#", _parted(line)[1]), []).append(line)
    return [_counted(lines) for lines in kinds.values()]


def _parted(line: str) -> tuple[str, str]:
    """`control: it failed` -> the name and what is said of it; no name where none stands before a colon."""
    name, colon, rest = line.partition(": ")
    return (name, rest) if colon and len(name) <= _LONGEST_NAME else ("", line)


def _counted(lines: Sequence[str]) -> str:
    first = lines[0]
    if len(lines) == 1:
        return first
    if len(set(lines)) == 1:
        return f"{first} ({len(lines)} times)"
    names, said = zip(*map(_parted, lines), strict=True)
    if len(set(said)) == 1 and all(names):
        return f"{', '.join(dict.fromkeys(names))}: {said[0]}"
    return f"{first} (and {len(lines) - 1} more like it)"
