"""Everything that a recipe may name, from the folders themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Entry", "catalogue", "everything"]

KINDS = (
    "losses",
    "teachers",
    "schemes",
    "changes",
    "models",
    "tasks",
    "formats",
    "projectors",
    "transforms",
    "weights",
    "gates",
)


@dataclass(frozen=True)
class Entry:
    """One thing that has a name.

    Args:
        kind: `losses`, `models` …
        name: what a recipe calls it; what its folder calls it where recipes do not name it.
        thing: the class or function.
        fields: of tasks that know it, if not all do.
        spec: what a recipe may say about it, if that differs from its own arguments.
        key: what a recipe calls it, if that has a spec.
    """

    kind: str
    name: str
    thing: Callable[..., Any]
    fields: tuple[str, ...] = ()
    spec: Any = None
    key: str = ""

    @property
    def about(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.thing) or "").partition("\n")[0]


def everything() -> list[Entry]:
    """All entries of all kinds."""
    return [entry for kind in KINDS for entry in catalogue(kind)]


def catalogue(kind: str) -> list[Entry]:
    """The entries of one kind."""
    return list(_READERS[kind]())


def _losses() -> Iterator[Entry]:
    import tutelage.losses
    from tutelage.recipes.names import find, public_names

    for name in public_names(tutelage.losses):
        if "." in name:
            yield Entry("losses", name, find("loss", name, tutelage.losses))


def _teachers() -> Iterator[Entry]:
    from tutelage import teachers
    from tutelage.recipes.teachers import SPECS

    keys = {key.replace("_", ""): key for key in SPECS}
    for name in teachers.__all__:
        thing = getattr(teachers, name)
        if inspect.isclass(thing) and issubclass(thing, teachers.Teacher) and name != "Teacher":
            key = keys.get(name.lower(), "")
            yield Entry("teachers", key or name, thing, spec=SPECS.get(key), key=key)


def _schemes() -> Iterator[Entry]:
    from tutelage.recipes.schemes import scheme_names

    return (Entry("schemes", name, kind) for name, kind in scheme_names().items())


def _changes() -> Iterator[Entry]:
    from tutelage import compression

    return (Entry("changes", name, kind) for name, kind in compression.changes.items())


def _projectors() -> Iterator[Entry]:
    from tutelage import projectors

    names = (name for name in projectors.__all__ if name != "fit")
    return (Entry("projectors", name, getattr(projectors, name)) for name in names)


def _transforms() -> Iterator[Entry]:
    from tutelage.losses import transforms

    return (Entry("transforms", name, getattr(transforms, name)) for name in transforms.__all__)


def _weights() -> Iterator[Entry]:
    from tutelage import balancing
    from tutelage.recipes.parts import WEIGHTS

    return (Entry("weights", name, getattr(balancing, name)) for name in WEIGHTS)


def _gates() -> Iterator[Entry]:
    from tutelage import balancing
    from tutelage.recipes.parts import GATES

    return (Entry("gates", name, getattr(balancing, name)) for name in GATES)


def _formats() -> Iterator[Entry]:
    from tutelage.export import formats

    return (Entry("formats", name, function) for name, function in formats.items())


def _models() -> Iterator[Entry]:
    from tutelage.recipes.parts import FIELDS

    names = sorted({name for field in FIELDS.values() for name in field.models.__all__})
    for name in names:
        known = {field: module.models for field, module in FIELDS.items() if name in module.models.__all__}
        thing = getattr(next(iter(known.values())), name)
        yield Entry("models", name, thing, fields=tuple(known))


def _tasks() -> Iterator[Entry]:
    from tutelage.recipes.parts import FIELDS

    for field, module in FIELDS.items():
        for name in module.__all__:
            if name != "models":
                yield Entry("tasks", f"{field}.{name}", getattr(module, name))


_READERS: dict[str, Callable[[], Iterator[Entry]]] = {
    "losses": _losses,
    "teachers": _teachers,
    "schemes": _schemes,
    "changes": _changes,
    "models": _models,
    "tasks": _tasks,
    "formats": _formats,
    "projectors": _projectors,
    "transforms": _transforms,
    "weights": _weights,
    "gates": _gates,
}
