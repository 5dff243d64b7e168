"""What the verbs print: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from tutelage.errors import OutputError, TutelageWarning

__all__ = ["only_results", "print_json", "print_rich", "print_text", "say", "say_stop", "show_warning"]

_WIDTH = 120  # of tables that go to a file or a pipe


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on stdout; what JSON has no number for becomes null."""
    with _written():
        print(json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False))


def print_text(text: str) -> None:
    """A text on stdout, as it is."""
    with _written():
        print(text)


def print_rich(*parts: Any) -> None:
    """Tables and coloured text on stdout."""
    from rich.console import Console
    from rich.text import Text

    from tutelage.trust import printable

    class Plain(Console):
        """Shows text as it is: brackets are no markup, and what is not printed is written out."""

        def render_str(self, text: str, **keywords: Any) -> Text:
            return super().render_str(printable(text), **keywords | {"markup": False, "emoji": False})

    with _written():
        narrow = not sys.stdout.isatty() and "COLUMNS" not in os.environ
        width = _WIDTH if narrow else None
        console = Plain(file=sys.stdout, width=width, highlight=False, soft_wrap=False, markup=False)
        for part in parts:
            console.print(part)


def say(text: str, *, style: str = "") -> None:
    """A line on stderr; the words before its first colon in `style` on a terminal."""
    from tutelage.trust import printable

    head, colon, rest = printable(text).partition(":")
    if style and sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        line = Text.assemble((head + colon, style), rest)
        Console(stderr=True, highlight=False).print(line, soft_wrap=True)
    else:
        print(printable(text), file=sys.stderr, flush=True)


def say_stop(text: str, *, style: str = "") -> None:
    """A line about a stop on request, from the first process alone: all stop together."""
    if os.environ.get("RANK", "0") == "0":
        say(text, style=style)


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ours as one line; others as Python shows them."""
    if issubclass(category, TutelageWarning):
        say(f"warning: {message}", style="yellow")
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(text)


@contextlib.contextmanager
def only_results() -> Iterator[None]:
    """Send to stderr what anything else prints on stdout meanwhile."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _written() -> Iterator[None]:
    """See to it that stdout took what was printed, and that Python does not try again at its end."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        raise
    except OSError as error:
        _give_up_stdout()
        raise OutputError(f"cannot write to stdout: {error.strerror or error}") from error


def _give_up_stdout() -> None:
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
