"""Read a recipe: one of ours by name, a YAML or Python file by path, with values set on the way."""

from __future__ import annotations

import copy
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tutelage.errors import RecipeError, UnknownName
from tutelage.recipes.form import checked
from tutelage.recipes.spec import ArmSpec, ControlSpec, Recipe
from tutelage.recipes.stage_spec import StageSpec, TrainSpec
from tutelage.shelf import recipe_names, recipe_text
from tutelage.trust import may_run, read_yaml

__all__ = ["load", "name_of", "names", "parse", "read_value", "with_values"]

_FILES = (".yaml", ".yml", ".py")

_HOLDERS = ("task", "teacher", "model", "scheme", "correct")
"""Keys whose value is one name with its settings: a path leads through the name without saying it."""


_LEFT_OUT = {
    key for spec in (Recipe, StageSpec, TrainSpec, ControlSpec, ArmSpec) for key in spec.model_fields
}
"""Keys that a recipe may leave out, so that a path through them makes them."""


def names() -> list[str]:
    """The recipes that come with tutelage."""
    return recipe_names()


def name_of(came: str) -> str:
    """What to call a recipe: its name, or the stem of its file."""
    path = Path(came)
    return path.stem if path.suffix in _FILES else came


def load(came: str, *, changes: Sequence[str] = (), only_look: bool = False) -> Recipe:
    """A recipe by name or path; of a YAML file nothing is imported.

    Args:
        came: `vision/digits`, or the path of a `.yaml` file, or of a `.py` file that defines `recipe`.
        changes: `key=value` each, the key a dotted path (`stages.0.train.epochs=5`), the value YAML.
        only_look: a file of Python, which is a program and runs when it is read, is refused where nobody said
            that it may (`tutelage.trust.trusting`).

    Raises:
        UnknownName: no such recipe; the nearest is named.
        RecipeError: the file cannot be read as a recipe.
    """
    path = Path(came)
    if path.suffix in _FILES:
        if not path.is_file():
            raise RecipeError(
                f"there is no recipe file {came}; see `tutelage list` for those that come along"
            )
        tree = _from_python(path, only_look) if path.suffix == ".py" else _from_yaml(_text(path), came)
    elif came in names():
        tree = _from_yaml(recipe_text(came), came)
    else:
        raise UnknownName(
            "recipe", came, names(), hint="Give one of these, or the path of a .yaml or .py file."
        )
    tree = _unshared(tree)
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
    return checked(Recipe, tree, where)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read as text: {error}") from error


def _from_yaml(text: str, where: str) -> Any:
    try:
        return read_yaml(text)
    except yaml.constructor.ConstructorError as error:
        raise RecipeError(
            f"{where} has a YAML tag that would build an object ({error.problem}); recipes are plain data. "
            "Name outside code as `package.module:Name` instead"
        ) from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is not YAML: {error}") from error


def _from_python(path: Path, only_look: bool) -> Any:
    if only_look and not may_run(path):
        raise RecipeError(
            f"{path} is a program, and runs when it is read; if it is yours, or you have read it, add "
            f"--allow {path}"
        )
    held = runpy.run_path(str(path))
    if "recipe" not in held:
        raise RecipeError(f"{path} defines no `recipe`; expected a Recipe, or a mapping like a YAML recipe's")
    recipe = held["recipe"]
    if isinstance(recipe, Recipe):
        return recipe.model_dump(mode="json", exclude_unset=True)
    return copy.deepcopy(recipe)  # what is set on it must not change the module's own


def _unshared(tree: Any) -> Any:
    """The same data, where what an anchor names is a copy at each place: a change is made at one of them."""
    if isinstance(tree, dict):
        return {key: _unshared(value) for key, value in tree.items()}
    return [_unshared(value) for value in tree] if isinstance(tree, list) else tree


def read_value(text: str, where: str) -> Any:
    """A value as a recipe would write it.

    Args:
        text: YAML.
        where: what to call the place in messages.

    Raises:
        RecipeError: it is not YAML.
    """
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{where}: the value is not YAML: {error}") from error


def with_values(tree: Any, values: Mapping[str, Any], where: str = "set") -> Any:
    """A copy of a recipe's plain data with some values set.

    Args:
        tree: the data.
        values: by dotted path. A mapping is set key by key into a mapping that stands there.
        where: what to call the paths in messages.

    Raises:
        UnknownName, RecipeError: a path that leads nowhere.
    """
    tree = _unshared(tree)
    for key, value in values.items():
        if isinstance(value, Mapping):
            for inner, each in value.items():
                _put(tree, f"{key}.{inner}", copy.deepcopy(each), where)
        else:
            _put(tree, key, copy.deepcopy(value), where)
    return tree


def _set(tree: Any, change: str) -> None:
    key, sign, value = change.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set came as {change!r}; expected key=value, such as stages.0.train.epochs=5")
    _put(tree, key, read_value(value, f"--set {change!r}"), "--set")


def _put(tree: Any, key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    held, before, name = tree, "", None
    for part in parents:
        if part == name and part not in held:  # the path says the name, which it may leave out
            name = None
            continue
        held, before, name = _inside(held, part, f"{where} {key}", before), part, None
        if part in _HOLDERS and isinstance(held, Mapping) and len(held) == 1:
            ((name, _),) = held.items()
            if held[name] is None:
                held[name] = {}  # type: ignore[index]
            held = held[name]
        elif part in _HOLDERS and isinstance(held, str):
            raise RecipeError(f"{where} {key}: {part!r} is {held!r} without settings; set {part} as a whole")
    if isinstance(held, list):
        held[_index(held, last, f"{where} {key}")] = value
    elif isinstance(held, dict):
        held[last] = value
    else:
        raise RecipeError(f"{where} {key}: {before!r} is {held!r}, which has no key {last!r}")


def _inside(held: Any, part: str, said: str, before: str) -> Any:
    if isinstance(held, list):
        return held[_index(held, part, said)]
    if not isinstance(held, dict):
        raise RecipeError(f"{said}: {before!r} is {held!r}, which has no key {part!r}")
    if held.get(part) is None:
        legal = Recipe.model_fields if not before else [*held, *_LEFT_OUT]
        if part not in legal:
            raise UnknownName(f"key in {said}:", part, held if before else legal)
        held[part] = {}
    return held[part]


def _index(held: list[Any], part: str, said: str) -> int:
    if not part.isdigit() or int(part) >= len(held):
        raise RecipeError(f"{said}: {part!r} is no number of a list of {len(held)}; they count from 0")
    return int(part)
