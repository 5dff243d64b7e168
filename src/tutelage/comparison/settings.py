"""The settings in which recipes differ, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Setting", "differing", "flat"]


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in all recipes.

    Args:
        path: dotted, as `--set` takes it.
        label: the shortest end of the path that tells it from the others.
        values: by recipe, in order; None where a recipe has no such setting.
    """

    path: str
    label: str
    values: tuple[Any, ...]


def differing(recipes: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """The settings that differ between recipes, in the order in which recipes name them.

    Args:
        recipes: as they were resolved.

    Example:
        >>> differing([{"train": {"epochs": 5, "clip": 1}}, {"train": {"epochs": 9, "clip": 1}}])
        [Setting(path='train.epochs', label='epochs', values=(5, 9))]
    """
    lines = [dict(flat(recipe)) for recipe in recipes]
    paths = list(dict.fromkeys(path for line in lines for path in line))
    found = [(path, tuple(line.get(path) for line in lines)) for path in paths]
    kept = {path: values for path, values in found if any(value != values[0] for value in values)}
    return [Setting(path, _label(path, list(kept)), values) for path, values in kept.items()]


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings and lists by their dotted paths; lists of plain values are leaves."""
    if isinstance(value, Mapping) and value:
        for key, held in value.items():
            yield from flat(held, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        for place, held in enumerate(value):
            yield from flat(held, f"{path}.{place}" if path else str(place))
    else:
        yield path, value


def _label(path: str, paths: Sequence[str]) -> str:
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        end = ".".join(parts[-count:])
        if not end.isdigit() and sum(f".{each}".endswith(f".{end}") for each in paths) == 1:
            return end
    return path
