"""A document that has no end."""

from __future__ import annotations

__all__ = ["Unfinished"]


class Unfinished(str):
    """A document that was cut off where it would have gone on."""

    __slots__ = ()
