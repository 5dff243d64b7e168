"""Tables of methods and recipes, made from the package when the site is built."""

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from tutelage.shelf import recipe_names, recipe_text

_FOLDERS = {
    "losses": ["tutelage.losses.response", "tutelage.losses.feature"],
    "transforms": ["tutelage.losses.transforms"],
    "teachers": ["tutelage.teachers"],
    "schemes": ["tutelage.schemes"],
    "projectors": ["tutelage.projectors"],
    "corrections": ["tutelage.corrections"],
}
_BASES = ("Teacher", "Scheme", "fit")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables where a page asks for them: `<!-- table: losses -->`."""
    return re.sub(r"<!-- table: (\w+) -->", lambda found: _table(found[1]), markdown)


def _table(kind: str) -> str:
    if kind == "recipes":
        return _markdown(("recipe", "about"), _recipes())
    if kind == "losses":
        return _markdown(("loss", "what it is", "source"), _methods(kind, with_source=True))
    return _markdown(("name", "what it is"), _methods(kind))


def _recipes() -> Iterator[tuple[str, ...]]:
    for name in recipe_names():
        yield f"`{name}`", str(yaml.safe_load(recipe_text(name)).get("about", ""))


def _methods(kind: str, *, with_source: bool = False) -> Iterator[tuple[str, ...]]:
    for path in _FOLDERS[kind]:
        folder = importlib.import_module(path)
        for name in (name for name in folder.__all__ if name not in _BASES):
            text = inspect.getdoc(getattr(folder, name)) or ""
            short = f"{path.removeprefix('tutelage.losses.')}.{name}" if kind == "losses" else name
            cells = (f"[`{short}`][{path}.{name}]", text.partition("\n")[0])
            yield (*cells, _source(text)) if with_source else cells


def _source(text: str) -> str:
    """The paper of a docstring, up to its first full stop after a year."""
    found = re.search(r"^Source:\s+(.+?\b(?:19|20)\d\d\b)", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
