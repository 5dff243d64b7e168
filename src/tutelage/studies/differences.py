"""Where two records of plain data differ, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["differences"]


def differences(held: Any, now: Any, path: str, *, here: str = "here") -> Iterator[str]:
    """The deepest places at which two records differ.

    Args:
        held: the one that is there.
        now: the other.
        path: the dotted name of both.
        here: what the other is called.

    Example:
        >>> list(differences({"epochs": 3, "lr": 0.1}, {"epochs": 4, "lr": 0.1}, "train"))
        ['train.epochs (3 there, 4 here)']
    """
    if isinstance(held, Mapping) and isinstance(now, Mapping):
        pairs = {key: (held.get(key), now.get(key)) for key in dict.fromkeys([*held, *now])}
    elif _list(held) and _list(now) and len(held) == len(now):
        pairs = dict(enumerate(zip(held, now, strict=True)))
    else:
        if held != now:
            yield f"{path} ({held} there, {now} {here})"
        return
    for key, (one, other) in pairs.items():
        yield from differences(one, other, f"{path}.{key}", here=here)


def _list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
