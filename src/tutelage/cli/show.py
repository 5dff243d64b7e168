"""`tutelage show`: one recipe, or one thing that a recipe names."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tutelage.cli import output
from tutelage.cli.options import Allow, AsJson, Set
from tutelage.errors import RecipeError, UnknownName
from tutelage.shelf import recipe_names

if TYPE_CHECKING:
    from tutelage.cli.catalogue import Entry

__all__ = ["show"]

_NAMED_IN_SNAKE_CASE = ("schemes", "teachers", "changes")
"""Kinds whose recipes say `past_self` for the class PastSelf."""


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A recipe's name or file, or what a recipe names: response.SoftTarget, teachers.Stored, "
            "Offline, resnet8 …",
            show_default=False,
        ),
    ],
    changes: Set = None,
    allow: Allow = None,  # noqa: ARG001 - its callback does it
    as_json: AsJson = False,
) -> None:
    """Show a recipe as it is understood, as YAML; or a method's signature and documentation."""
    if name in recipe_names() or Path(name).suffix in (".yaml", ".yml", ".py"):
        _show_recipe(name, changes or [], as_json)
        return
    from tutelage.cli.catalogue import everything

    entries = everything()
    found = [entry for entry in entries if _is_called(entry, name.lower())]
    if not found:
        legal = [*recipe_names(), *(entry.name for entry in entries)]
        raise UnknownName("name", name, legal, hint="See `tutelage list`.")
    if changes:
        raise RecipeError(f"--set changes recipes, and {name} is none; see `tutelage list recipes`")
    if as_json:
        output.print_json({"name": found[0].name, "entries": [_described(entry) for entry in found]})
    else:
        output.print_text("\n\n".join(_text(entry) for entry in found))


def _show_recipe(name: str, changes: list[str], as_json: bool) -> None:
    with output.only_results():
        import yaml

        from tutelage.recipes import load, name_of

        plain = load(name, changes=changes, only_look=True).model_dump(mode="json", exclude_unset=True)
    if as_json:
        output.print_json({"name": name_of(name), "recipe": plain})
    else:
        output.print_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip())


def _is_called(entry: Entry, name: str) -> bool:
    """Whether a name in small letters is that of an entry.

    It may be as it is listed, with the kind before it, or as in Python; a loss may come without its folder.
    """
    own, last = entry.name.lower(), entry.name.lower().rpartition(".")[2]
    if name in (own, f"{entry.kind}.{own}") or (name == last and entry.kind == "losses"):
        return True
    module, called = entry.thing.__module__.lower(), getattr(entry.thing, "__name__", last).lower()
    if entry.kind in _NAMED_IN_SNAKE_CASE and name in (called, f"{entry.kind}.{called}"):
        return True
    paths = (f"{module}.{called}", f"{module.rpartition('.')[0]}.{called}")
    return "." in name and any(f".{path}".endswith(f".{name}") for path in paths)


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "signature": _signature(entry),
        "doc": _doc(entry.thing),
        "fields": list(entry.fields),
        "in_a_recipe": inspect.getdoc(entry.spec) if entry.spec else None,
    }


def _text(entry: Entry) -> str:
    known = f" of {', '.join(entry.fields)}" if entry.fields else ""
    parts = [f"{_signature(entry)}    [{entry.kind}{known}]", _doc(entry.thing)]
    if entry.spec:
        parts.append(f"In a recipe ({entry.key}):\n\n{inspect.getdoc(entry.spec)}")
    return "\n\n".join(part for part in parts if part)


def _doc(thing: Any) -> str:
    """Its documentation; that of what it builds stands below, where a function builds one of our classes."""
    own = inspect.getdoc(thing) or ""
    built = getattr(thing, "__globals__", {}).get(getattr(thing, "__annotations__", {}).get("return"))
    if not inspect.isclass(built) or not built.__module__.startswith("tutelage."):
        return own
    return f"{own}\n\n{built.__name__}:\n\n{inspect.getdoc(built)}"


class _Bare(str):
    """An annotation that is printed without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(entry: Entry) -> str:
    found = inspect.signature(entry.thing)
    parameters = [each.replace(annotation=_bare(each.annotation)) for each in found.parameters.values()]
    answer = inspect.Signature.empty if inspect.isclass(entry.thing) else _bare(found.return_annotation)
    called = entry.thing.__name__ if entry.kind in _NAMED_IN_SNAKE_CASE else entry.name
    return f"{called}{found.replace(parameters=parameters, return_annotation=answer)}"


def _bare(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation
