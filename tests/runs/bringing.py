"""How ways to bring things are tried: served, or refused in words before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

import tutelage as tl

FAST: dict[str, Any] = {"epochs": 1, "batch_size": 40, "seeds": 1, "quiet": True, "placebo": False}


class Way(Protocol):
    """`said`: words of the refusal, or the metric of the verdict where it is `served`."""

    said: str
    served: bool


def each_way(ways: Mapping[str, Way]) -> list[Any]:
    """All ways; those that are served train, and are slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] if way.served else []) for name, way in ways.items()]


def served_or_refused(way: Way, bring: Callable[[Any, Path], tl.Run], folder: Path) -> None:
    """Bring it, and see that what was promised comes; a refusal leaves no folder."""
    if way.served:
        assert bring(way, folder).verdict.metric == way.said
        return
    with pytest.raises(tl.TutelageError) as refused:
        bring(way, folder)
    assert way.said in str(refused.value)
    assert not (folder / "run").exists()
