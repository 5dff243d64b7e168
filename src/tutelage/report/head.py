"""The head of a page: which networks, which data, which task, when, and how to have it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

import yaml

from tutelage.report import numbers, roles
from tutelage.report.facts import metric
from tutelage.report.numbers import mapping, number, sequence
from tutelage.trust import read_yaml

__all__ = ["head"]

_PARTS = {
    "train": "to train on",
    "validation": "to validate",
    "test": "to test",
    "transfer": "for the student",
}


def head(results: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs of a name and what it is, and the command or call; runs that noted less are told from less.

    Args:
        results: what a run measured, of format 2.
        details: what only the page shows.
    """
    about, recipe = mapping(details.get("about")), _recipe(details)
    pairs = [
        *_networks(results, about, recipe),
        ("Data", _data(about, recipe, details)),
        ("Task", _task(results, about, recipe)),
        ("Date", _date(about.get("date"))),
    ]
    return {
        "head": [(name, said) for name, said in pairs if said],
        "again": str(about.get("again") or _again(results, recipe)),
    }


def _recipe(details: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return mapping(read_yaml(str(details.get("recipe_yaml") or "")))
    except yaml.YAMLError:
        return {}


def _networks(
    results: Mapping[str, Any], about: Mapping[str, Any], recipe: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The outcome that the run is about, and its teacher."""
    kinds, entries = mapping(about.get("networks")), roles.entries(results)
    for name in (roles.primary(results), roles.TEACHER):
        if name in entries:
            kind = str(
                kinds.get(name) or _model(recipe.get("teacher" if name == roles.TEACHER else "student"))
            )
            count = number(mapping(entries[name].get("cost")).get("parameters"))
            size = "" if not count else f"{numbers.amount(count)} parameters"
            yield name[:1].upper() + name[1:], ", ".join(filter(None, (kind, size)))


def _model(held: Any) -> str:
    """The name under the first `model` of a recipe's part."""
    pairs = held.items() if isinstance(held, Mapping) else enumerate(sequence(held))
    for key, value in pairs:
        if key == "model":
            return str(next(iter(value), "")) if isinstance(value, Mapping) else str(value)
        if found := _model(value):
            return found
    return ""


def _data(about: Mapping[str, Any], recipe: Mapping[str, Any], details: Mapping[str, Any]) -> str:
    name = about.get("data") or next(
        (task.get("data") for task in map(mapping, mapping(recipe.get("task")).values())), None
    )
    parts = mapping(mapping(details.get("environment")).get("data"))
    counts = {part: number(mapping(said).get("examples")) for part, said in parts.items()}
    if counts.get("transfer") == counts.get("train"):
        counts.pop("transfer", None)
    sizes = [
        f"{int(count):,} {_PARTS.get(part, part)}" for part, count in counts.items() if count is not None
    ]
    named = [_short(name)] if isinstance(name, str) else []
    return ": ".join(filter(None, (*named, ", ".join(sizes))))


def _short(name: str) -> str:
    """A data set by its name; of a folder the last part, since the whole stands in the recipe."""
    return PurePath(name).name if PurePath(name).is_absolute() else name


def _task(results: Mapping[str, Any], about: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    classes = number(about.get("classes"))
    named = str(about.get("task") or next(iter(mapping(recipe.get("task"))), ""))
    judged = metric(results)
    told = [
        named,
        f"{int(classes)} classes" if classes else "",
        f"judged by {numbers.in_text(judged)}" if judged else "",
    ]
    return ", ".join(filter(None, told))


def _date(value: Any) -> str:
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return ""
    return f"{when.day} {when:%B %Y, %H:%M}"


def _again(results: Mapping[str, Any], recipe: Mapping[str, Any]) -> str:
    """A command from the recipe as the run's folder holds it; a call of Python cannot be told so."""
    if "task" not in recipe or not results.get("out"):
        return ""
    path = PurePath(str(results["out"])) / "recipe.yaml"
    return shlex.join(["tutelage", "run", str(path), "--seeds", str(len(sequence(results.get("seeds"))))])
