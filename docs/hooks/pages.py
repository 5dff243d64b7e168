"""Tables of methods and recipes, made from the package when the site is built."""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from tutelage.shelf import recipe_names, recipe_text

_FOLDERS = {
    "losses": [
        "tutelage.losses.response",
        "tutelage.losses.feature",
        "tutelage.losses.attention",
        "tutelage.losses.relation",
        "tutelage.losses.contrastive",
    ],
    "transforms": ["tutelage.losses.transforms"],
    "teachers": ["tutelage.teachers"],
    "schemes": ["tutelage.schemes"],
    "projectors": ["tutelage.projectors"],
    "balancing": ["tutelage.balancing"],
    "corrections": ["tutelage.corrections"],
}
_RECIPES_NAMED = 3
"""Recipes that a loss is shown with; how many others use it is counted."""
_BASES = ("Teacher", "Scheme", "Weight", "Fixed", "Gate", "Conflict")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables where a page asks for them: `<!-- table: losses -->`."""
    return re.sub(
        r"<!-- table: (\w+) -->",
        lambda found: f'<div class="methods" markdown>\n\n{_table(found[1])}\n\n</div>',
        markdown,
    )


def _table(kind: str) -> str:
    if kind == "recipes":
        return _markdown(("recipe", "about"), _recipes())
    if kind == "losses":
        return _markdown(("loss", "what it compares", "paper", "recipes"), _losses())
    return _markdown(("name", "what it is"), _parts(kind))


def _recipes() -> Iterator[tuple[str, ...]]:
    for name in recipe_names():
        yield f"`{name}`", str(yaml.safe_load(recipe_text(name)).get("about", ""))


def _losses() -> Iterator[tuple[str, ...]]:
    texts = {name: recipe_text(name) for name in recipe_names()}
    for path, name, text in _documented("losses"):
        short = f"{path.removeprefix('tutelage.losses.')}.{name}"
        said = text.partition("\n")[0]
        acronym = re.search(r"\(([^)]+)\):", said)
        kind = getattr(importlib.import_module(path), name)
        shapes = ["several layers"] if kind.joins_layers else []
        used = [recipe for recipe, held in texts.items() if re.search(rf"\b{re.escape(short)}\b", held)]
        yield (
            f"[`{short}`][{path}.{name}]" + (f"<br>{acronym[1]}" if acronym else ""),
            f"{said.partition(': ')[2] or said}<br>*{', '.join([*kind.layouts, *shapes])}*",
            _source(text),
            _some(used),
        )


def _some(recipes: list[str]) -> str:
    """The first recipes, one a line, and how many more there are."""
    rest = len(recipes) - _RECIPES_NAMED
    named = [f"`{recipe}`" for recipe in recipes[:_RECIPES_NAMED]]
    return "<br>".join(named + ([f"and {rest} more"] if rest > 0 else []))


def _parts(kind: str) -> Iterator[tuple[str, ...]]:
    for path, name, text in _documented(kind):
        yield f"[`{name}`][{path}.{name}]", text.partition("\n")[0]


def _documented(kind: str) -> Iterator[tuple[str, str, str]]:
    """(folder, name, docstring) of each class that a folder exports, bases left out."""
    for path in _FOLDERS[kind]:
        folder = importlib.import_module(path)
        for name in (name for name in folder.__all__ if name not in _BASES):
            if inspect.isclass(getattr(folder, name)):
                yield path, name, inspect.getdoc(getattr(folder, name)) or ""


def _source(text: str) -> str:
    """The paper of a docstring, up to its first full stop after a year."""
    found = re.search(r"^Source:\s+(.+?\b(?:19|20)\d\d\b)", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
