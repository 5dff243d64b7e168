"""The recipe files that come with tutelage, found without importing what reads them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

__all__ = ["recipe_names", "recipe_text"]


def recipe_names() -> list[str]:
    """The recipes, by field and name: `vision/digits`."""
    root = _root()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def recipe_text(name: str) -> str:
    """The YAML of one of them."""
    return (_root() / f"{name}.yaml").read_text("utf-8")


def _root() -> Path:
    return Path(str(resources.files("tutelage"))) / "recipes"
