"""Text of a stranger's, as it may be shown on a terminal."""

from __future__ import annotations

import re

__all__ = ["printable"]

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text whose control characters are written out, so that a name cannot move the cursor or turn a line.

    Line ends and tabs stay.

    Example:
        >>> printable("a\\x1b[2Jb")
        'a\\\\x1b[2Jb'
    """
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode(), text)
