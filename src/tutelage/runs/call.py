"""A call of Python as text, so that a page can say how a run was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from inspect import Parameter, signature
from pathlib import PurePath
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

__all__ = ["call_of"]

_PLAIN = (str, int, float, bool, type(None))


def call_of(function: Callable[..., Any], given: Mapping[str, Any], *, name: str) -> str:
    """The call with what differs from the defaults, one argument a line.

    What can be written down is written as it was. Networks, data and functions stand by the argument's own
    name, with a comment that says what came.

    Args:
        function: what was called.
        given: its arguments by parameter, defaults included.
        name: what to call it.

    Example:
        >>> def teach(student, *, epochs=20): ...
        >>> print(call_of(teach, {"student": torch.zeros(3), "epochs": 5}, name="teach"))
        teach(
            student,  # Tensor of 3
            epochs=5,
        )
    """
    lines: list[str] = []
    named = False
    for parameter, kind in signature(function).parameters.items():
        value = given[parameter]
        if kind.kind is Parameter.VAR_KEYWORD:
            lines += [_line(key, held, key) for key, held in value.items()]
        elif _is_default(value, kind.default):
            named = True  # what follows one that was left out is named
        else:
            by_place = not named and kind.kind is Parameter.POSITIONAL_OR_KEYWORD
            lines.append(_line(parameter, value, "" if by_place else parameter))
    return "\n".join([f"{name}(", *(f"    {line}" for line in lines), ")"])


def _line(parameter: str, value: Any, key: str) -> str:
    before = f"{key}=" if key else ""
    value = str(value) if isinstance(value, PurePath) else value
    if _is_plain(value):
        return f"{before}{value!r},"
    return f"{before}{parameter},  # {_kind(value)}"


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (_is_plain(value) and type(value) is type(default) and bool(value == default))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    return isinstance(value, _PLAIN)


def _kind(value: Any) -> str:
    """What came, in a few words: a network with its size, data with its length."""
    kind = type(value).__name__
    if isinstance(value, torch.Tensor):
        return f"{kind} of {' × '.join(map(str, value.shape)) or 'one number'}"
    if isinstance(value, nn.Module):
        return f"{kind} of {sum(one.numel() for one in value.parameters() if not _is_lazy(one)):,} parameters"
    if isinstance(value, DataLoader):
        return f"{kind} of {_kind(value.dataset)}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_kind, value)) or "nothing"
    if shape := getattr(value, "shape", None):
        return f"{kind} of {' × '.join(map(str, shape))}"
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}" if value.__name__ != "<lambda>" else "a function"
    if isinstance(value, Sized):
        return f"{kind} of {len(value):,}"
    text = repr(value)
    return kind if " object at 0x" in text else _one_line(text)


def _is_lazy(parameter: nn.Parameter) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def _one_line(text: str, most: int = 300) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= most else joined[: most - 1] + "…"
