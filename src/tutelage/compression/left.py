"""Layers that a change leaves as they are, in words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from tutelage.errors import TutelageWarning

__all__ = ["in_words", "warn_of"]

_SHOWN = 4


def in_words(left: Mapping[str, str]) -> str:
    """A sentence on layers that were left alone, path -> why; nothing where there are none.

    Example:
        >>> in_words({"head": "shares its weight with stem"})
        'Left alone: head shares its weight with stem.'
    """
    if not left:
        return ""
    named = [f"{path} {why}" for path, why in left.items()]
    more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return f"Left alone: {'; '.join(named[:_SHOWN])}{more}."


def warn_of(left: Mapping[str, str]) -> None:
    """Warn of layers that were left alone, if there are any."""
    if left:
        warnings.warn(f"prune changed all but some layers. {in_words(left)}", TutelageWarning, stacklevel=4)
