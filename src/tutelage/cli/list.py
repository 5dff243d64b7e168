"""`tutelage list`: what there is to name in a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import AsJson

__all__ = ["Kind", "list_names"]


_SHOWN = 4


class Kind(StrEnum):
    """What can be listed."""

    recipes = "recipes"
    losses = "losses"
    teachers = "teachers"
    schemes = "schemes"
    changes = "changes"
    models = "models"
    tasks = "tasks"
    formats = "formats"
    projectors = "projectors"
    transforms = "transforms"
    weights = "weights"
    gates = "gates"


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.recipes,
    as_json: AsJson = False,
) -> None:
    """List what there is, each with a line about it: recipes, or what a recipe may name."""
    found = _recipes() if kind is Kind.recipes else _members(kind)
    if as_json:
        output.print_json({kind.value: found})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found:
        table.add_row(Text(each["name"], style="bold"), Text(_line(each)))
    output.print_rich(table)


def _recipes() -> list[dict[str, Any]]:
    import yaml

    from tutelage.shelf import recipe_names, recipe_text

    return [
        {"name": name, "about": str(yaml.safe_load(recipe_text(name)).get("about", ""))}
        for name in recipe_names()
    ]


def _members(kind: Kind) -> list[dict[str, Any]]:
    from tutelage.cli.catalogue import catalogue

    found = [{"name": each.name, "about": each.about} for each in catalogue(kind.value)]
    if kind is not Kind.schemes:
        return found
    named = _recipes_by_scheme()
    return [{**each, "recipes": named.get(each["name"], [])} for each in found]


def _line(entry: dict[str, Any]) -> str:
    named = entry.get("recipes", [])
    shown = ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")
    return f"{entry['about']}\nRecipes: {shown}" if named else str(entry["about"])


def _recipes_by_scheme() -> dict[str, list[str]]:
    """The recipes that name a scheme anywhere in them."""
    import yaml

    from tutelage.shelf import recipe_names, recipe_text

    found: dict[str, list[str]] = {}
    for name in recipe_names():
        for scheme in sorted(set(_schemes_in(yaml.safe_load(recipe_text(name))))):
            found.setdefault(scheme, []).append(name)
    return found


def _schemes_in(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        held = part.get("scheme")
        if held is not None:
            yield held if isinstance(held, str) else str(next(iter(held)))
        for each in part.values():
            yield from _schemes_in(each)
    elif isinstance(part, list):
        for each in part:
            yield from _schemes_in(each)
