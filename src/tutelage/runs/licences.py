"""Licences, as far as they are stated: by the user, or at the head of a README beside a teacher or data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tutelage.errors import UnknownName
from tutelage.report.numbers import mapping

__all__ = ["NOT_STATED", "licences_of"]

NOT_STATED = "not stated"

_PARTS = ("student", "teacher", "data")


def licences_of(recipe: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, str]:
    """The licences of the student, its teacher and its data that are known.

    Args:
        recipe: as it was resolved; local folders that its task and its teacher name are looked into.
        said: what the user says, which goes before.

    Raises:
        UnknownName: a part that is none of `student`, `teacher` and `data`.
    """
    for name in said:
        if name not in _PARTS:
            raise UnknownName("part with a licence", name, _PARTS)
    task = [mapping(held).get("data") for held in mapping(recipe.get("task")).values()]
    places: dict[str, list[Any]] = {"data": task, "teacher": list(_paths(recipe.get("teacher")))}
    found = {part: next(filter(None, map(_stated, held)), "") for part, held in places.items()}
    return {part: licence for part, licence in found.items() if licence} | dict(said)


def _stated(place: Any) -> str:
    """The licence that the README of a local folder states at its head; empty where it states none."""
    if not isinstance(place, str) or not (readme := Path(place).expanduser() / "README.md").is_file():
        return ""
    head, dashes, _ = readme.read_text("utf-8", errors="replace").removeprefix("---\n").partition("\n---")
    try:
        held = yaml.safe_load(head) if dashes else None
    except yaml.YAMLError:
        return ""
    licence = mapping(held).get("license")
    return licence if isinstance(licence, str) else ""


def _paths(held: Any) -> Iterator[str]:
    """What is called `path` anywhere in a part of a recipe."""
    pairs = held.items() if isinstance(held, Mapping) else enumerate(held if isinstance(held, list) else [])
    for key, value in pairs:
        if key == "path" and isinstance(value, str):
            yield value
        yield from _paths(value)
