"""Code outside tutelage: it is imported only where the user's own command, or call, says so."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from tutelage.errors import RecipeError, UnknownName

__all__ = ["allowed", "is_allowed", "kept", "may_run", "outside_name", "said_in", "trusting"]

_ALLOWED: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())

_ALWAYS = {"predictor": ("sklearn",)}
"""Packages that every recipe may name, by kind: their classes take plain values and run no command."""

_OURS = "tutelage"
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")

_P = ParamSpec("_P")
_R = TypeVar("_R")


def allowed() -> tuple[str, ...]:
    """What the user has said so far: modules, `package.module:Name`, and files of Python."""
    return _ALLOWED.get()


@contextlib.contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Let recipes name code of these modules, and what lies below them, within the block.

    Args:
        names: `package.module`; or `package.module:Name` for that alone; or a file of Python, `recipe.py`.

    Raises:
        RecipeError: one is none of these.
    """
    if isinstance(names, str):
        names = [names]
    before, names = _ALLOWED.get(), [str(name) for name in names]
    for name in names:
        if not name.endswith(".py") and not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*(:\w+(\.\w+)*)?", name):
            raise RecipeError(
                f"--allow (trust=) came as {name!r}; expected a module, package.module, or one name in it, "
                "package.module:Name"
            )
    token = _ALLOWED.set((*before, *names))
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def said_in(text: str) -> list[str]:
    """The names `package.module:Name` in what the user typed; typing them is saying that they may run."""
    return _NAME.findall(text)


def kept(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function that is called later, and may name then what may be named now."""
    now = _ALLOWED.get()

    @wraps(function)
    def later(*args: _P.args, **keywords: _P.kwargs) -> _R:
        with trusting(now):
            return function(*args, **keywords)

    return later


def is_allowed(kind: str, came: str) -> bool:
    """Whether a name may be imported for this use."""
    names = (_OURS, *_ALWAYS.get(kind, ()), *_ALLOWED.get())
    return any(came == name or _is_below(came, name) for name in names)


def _is_below(came: str, prefix: str) -> bool:
    module = came.partition(":")[0]
    return module == prefix or module.startswith(f"{prefix}.")


def may_run(path: Path) -> bool:
    """Whether the user has named this file of Python as one that may run."""
    return any(
        name.endswith(".py") and Path(name).expanduser().resolve() == path.resolve()
        for name in _ALLOWED.get()
    )


def outside_name(kind: str, came: str, wanted: Any) -> Any:
    """What `package.module:Name` stands for: a class or function of a module that may be named.

    Args:
        kind: what is looked for, for messages: "loss", "model".
        came: the name.
        wanted: the class that it must be or give; a tuple of names of methods that its class must have;
            None where anything that can be called will do.

    Raises:
        RecipeError: the user has not said that it may run, it cannot be imported, or is of another kind.
        UnknownName: the module has no such name.
    """
    module, _, name = came.partition(":")
    if not is_allowed(kind, came):
        raise RecipeError(
            f"{kind} {came!r} names code outside tutelage, which runs only where you say so: if it is yours, "
            f"or you have read it, add --allow {module} (in Python trust=[{module!r}])"
        )
    found = _found(kind, came, _imported(kind, came, module), name)
    _check_kind(kind, came, found, wanted)
    return found


def _imported(kind: str, came: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (ImportError, ValueError, TypeError) as error:
        raise RecipeError(
            f"{kind} {came!r}: cannot import {module!r} ({error}); install it, or put its folder on "
            "PYTHONPATH"
        ) from error


def _found(kind: str, came: str, module: ModuleType, name: str) -> Any:
    held: Any = module
    for part in name.split("."):
        if not hasattr(held, part):
            offered = [n for n in dir(module) if n[0] != "_" and callable(getattr(module, n))]
            raise UnknownName(kind, came, [f"{module.__name__}:{n}" for n in offered])
        held = getattr(held, part)
        if isinstance(held, ModuleType):  # `package:os.system` would lead out of what was allowed
            raise RecipeError(f"{kind} {came!r} leads through the module {part}; write {held.__name__}:Name")
    return held


def _check_kind(kind: str, came: str, found: Any, wanted: Any) -> None:
    said = _said(wanted)
    if inspect.isclass(found):
        fits = _fits(found, wanted)
    elif inspect.isfunction(found) or inspect.ismethod(found):
        _check_home(kind, came, found)
        said_so = any(came == name or _is_below(came, name) for name in _ALLOWED.get())
        fits = _gives(found, wanted, open_ended=said_so)
    else:
        raise RecipeError(f"{kind} {came!r} is a {type(found).__name__}; expected a class or function {said}")
    if not fits:
        raise RecipeError(f"{kind} {came!r} gives something else; expected a class or function {said}")


def _check_home(kind: str, came: str, function: Any) -> None:
    """Refuse a function that its module has from elsewhere, such as `mine:check_call`."""
    home = str(getattr(function, "__module__", ""))
    if not is_allowed(kind, f"{home}:{function.__name__}") and came not in _ALLOWED.get():
        raise RecipeError(
            f"{kind} {came!r} is a function of {home}, which you have not allowed; if it may run, add "
            f"--allow {home} (trust=[{home!r}])"
        )


def _said(wanted: Any) -> str:
    if wanted is None:
        return "that is called with the settings"
    if isinstance(wanted, tuple):
        return f"that gives something with {' and '.join(wanted)}"
    return f"that gives a {wanted.__name__}"


def _fits(found: type, wanted: Any) -> bool:
    if wanted is None:
        return True
    if isinstance(wanted, tuple):
        return all(callable(getattr(found, name, None)) for name in wanted)
    return issubclass(found, wanted)


def _gives(function: Any, wanted: Any, *, open_ended: bool) -> bool:
    """Whether a function says that it returns what is wanted; one that the user named may leave that open."""
    given = inspect.unwrap(function).__annotations__.get("return", inspect.Signature.empty)
    if isinstance(given, str):
        try:
            given = eval(given, vars(inspect.getmodule(function)))  # noqa: S307 - its own module's words
        except Exception:
            given = inspect.Signature.empty
    if inspect.isclass(given) and given not in (inspect.Signature.empty, Any):
        return _fits(given, wanted)
    return open_ended and given is not None
