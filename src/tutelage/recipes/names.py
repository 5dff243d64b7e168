"""What a name in a recipe stands for: an attribute of our folder, or `package.module:Name` outside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from torch import nn

from tutelage.balancing import Gate, Weight
from tutelage.compression import Changer
from tutelage.errors import ModelError, RecipeError, TutelageError, UnknownName
from tutelage.losses.loss import Loss
from tutelage.schemes import Scheme
from tutelage.tasks.problem import Problem
from tutelage.trust import outside_name

__all__ = ["call", "check_settings", "find", "public_names"]


def find(kind: str, came: str, folder: ModuleType) -> Any:
    """The thing of that name.

    Args:
        kind: what is looked for, for messages: "loss", "model".
        came: a dotted name within `folder`, or `package.module:Name`.
        folder: our folder of such things.

    Raises:
        UnknownName: the folder has no such name; the nearest is named.
        RecipeError: the user has not allowed the outside module, or it cannot be imported, or what it has by
            the name is of another kind.
    """
    if ":" in came:
        return outside_name(kind, came, _wanted().get(kind))
    held: Any = folder
    for part in came.split("."):
        if part not in getattr(held, "__all__", ()):
            raise UnknownName(kind, came, public_names(folder), hint="Outside code is package.module:Name.")
        held = getattr(held, part)
    if isinstance(held, ModuleType):
        raise UnknownName(kind, came, [f"{came}.{name}" for name in public_names(held)])
    return held


def public_names(folder: ModuleType) -> list[str]:
    """The dotted names within a folder, its modules' included."""
    found = []
    for name in getattr(folder, "__all__", ()):
        member = getattr(folder, name)
        if isinstance(member, ModuleType):
            found += [f"{name}.{inner}" for inner in public_names(member)]
        else:
            found.append(name)
    return found


def call(kind: str, came: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
    """Call what was named with its settings; an unknown setting names the nearest legal one.

    Raises:
        UnknownName: it has no setting of that name.
        RecipeError: a setting is missing, or one of ours refuses a value.
    """
    check_settings(kind, came, function, settings)
    try:
        given = function(**settings)
    except TutelageError:
        raise
    except (TypeError, ValueError) as error:
        if ":" in came:
            raise  # outside code: its author needs the traceback
        raise RecipeError(f"{kind} {came} refused {dict(settings)}: {error}") from error
    if ":" in came:
        _check_given(kind, came, given)
    return given


def check_settings(kind: str, came: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Refuse settings that what was named does not know, or lacks."""
    legal = inspect.signature(function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in legal.values()):
        for name in settings:
            if name not in legal:
                raise UnknownName(f"setting of {kind} {came}:", name, legal)
    missing = [
        name
        for name, p in legal.items()
        if p.default is p.empty
        and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        and name not in settings
    ]
    if missing:
        raise RecipeError(f"{kind} {came} needs the settings {', '.join(missing)}")


def _wanted() -> dict[str, Any]:
    """What outside code must be or give, by kind."""
    return {
        "loss": Loss,
        "model": nn.Module,
        "projector": nn.Module,
        "transform": nn.Module,
        "weight": Weight,
        "gate": Gate,
        "scheme": Scheme,
        "task": Problem,
        "change": Changer,
        "predictor": ("fit", "predict_proba"),
    }


def _check_given(kind: str, came: str, given: Any) -> None:
    """Refuse what outside code gave where that is something else."""
    wanted = _wanted().get(kind)
    if isinstance(wanted, type) and not isinstance(given, wanted):
        error = ModelError if kind == "model" else RecipeError
        raise error(f"{kind} {came} gave a {type(given).__name__}; expected a {wanted.__name__}")
