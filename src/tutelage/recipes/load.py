"""Read a recipe: one of ours by name, a YAML or Python file by path, with values set on the way."""

from __future__ import annotations

import runpy
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes.spec import Recipe

__all__ = ["load", "names", "parse"]

_HOLDERS = ("task", "teacher", "model", "scheme", "correct")
"""Keys whose value is one name with its settings: a path leads through the name without saying it."""


def names() -> list[str]:
    """The recipes that come with tutelage."""
    root = _root()
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.yaml"))


def load(came: str, *, changes: Sequence[str] = ()) -> Recipe:
    """A recipe by name or path.

    Args:
        came: `vision/digits`, or the path of a `.yaml` file, or of a `.py` file that defines `recipe`.
        changes: `key=value` each, the key a dotted path (`stages.0.train.epochs=5`), the value YAML.

    Raises:
        UnknownName: no such recipe; the nearest is named.
        RecipeError: the file cannot be read as a recipe.
    """
    path = Path(came)
    if path.suffix in (".yaml", ".yml", ".py"):
        if not path.is_file():
            raise RecipeError(
                f"there is no recipe file {came}; see `tutelage list` for those that come along"
            )
        tree = _from_python(path) if path.suffix == ".py" else _from_yaml(path.read_text("utf-8"), came)
    elif came in names():
        tree = _from_yaml((_root() / f"{came}.yaml").read_text("utf-8"), came)
    else:
        raise UnknownName(
            "recipe", came, names(), hint="Give one of these, or the path of a .yaml or .py file."
        )
    for change in changes:
        _set(tree, change)
    return parse(tree, came)


def parse(tree: Any, where: str = "the recipe") -> Recipe:
    """A recipe from plain data.

    Raises:
        RecipeError: says where, what came and what was expected.
    """
    if isinstance(tree, Recipe):
        return tree
    if not isinstance(tree, Mapping):
        raise RecipeError(
            f"{where} holds a {type(tree).__name__}; expected a mapping with task, teacher, student …"
        )
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{where}: " + "; ".join(_lines(error))) from error


def _lines(error: ValidationError) -> Iterable[str]:
    for each in error.errors():
        place = ".".join(str(part) for part in each["loc"]) or "top"
        yield f"{place}: {each['msg'].removeprefix('Value error, ')}"


def _root() -> Path:
    return Path(str(resources.files("tutelage.recipes")))


def _from_yaml(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.constructor.ConstructorError as error:
        raise RecipeError(
            f"{where} has a YAML tag that would build an object ({error.problem}); recipes are plain data. "
            "Name outside code as `package.module:Name` instead"
        ) from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not YAML: {error}") from error


def _from_python(path: Path) -> Any:
    held = runpy.run_path(str(path))
    if "recipe" not in held:
        raise RecipeError(f"{path} defines no `recipe`; expected a Recipe, or a mapping like a YAML recipe's")
    recipe = held["recipe"]
    return recipe.model_dump(exclude_defaults=True) if isinstance(recipe, Recipe) else recipe


def _set(tree: Any, change: str) -> None:
    key, sign, value = change.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set came as {change!r}; expected key=value, such as stages.0.train.epochs=5")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change!r}: the value is not YAML: {error}") from error
    *parents, last = key.split(".")
    held, before = tree, ""
    for part in parents:
        held = _inside(held, part, key, before)
        before = part
        if part in _HOLDERS and isinstance(held, Mapping) and len(held) == 1:
            held = next(iter(held.values()))
        elif part in _HOLDERS and isinstance(held, str):
            raise RecipeError(f"--set {key}: {part!r} is {held!r} without settings; set {part} as a whole")
    if isinstance(held, list):
        held[_index(held, last, key)] = parsed
    elif isinstance(held, dict):
        held[last] = parsed
    else:
        raise RecipeError(f"--set {key}: {before!r} is {held!r}, which has no key {last!r}")


def _inside(held: Any, part: str, key: str, before: str) -> Any:
    if isinstance(held, list):
        return held[_index(held, part, key)]
    if not isinstance(held, dict):
        raise RecipeError(f"--set {key}: {before!r} is {held!r}, which has no key {part!r}")
    if part not in held:
        if before and before not in Recipe.model_fields and part not in held:
            raise UnknownName(f"key in --set {key}:", part, held)
        if part not in Recipe.model_fields and not before:
            raise UnknownName(f"key in --set {key}:", part, Recipe.model_fields)
        held[part] = {}
    return held[part]


def _index(held: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(held):
        raise RecipeError(f"--set {key}: {part!r} is no number of a list of {len(held)}; they count from 0")
    return int(part)
